#!lua flags=allow-oom
-- Keep the leases of entries that this consumer still owns; returns those that others own now.
-- An entry that nobody owns was settled a moment ago: it is not lost.
-- JUSTID: a renewal is no delivery, so it must not count as one.
-- KEYS images   ARGV group consumer entry...
local lost = {}
for at = 3, #ARGV do
  local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[at], ARGV[at], 1)
  if held[1] and held[1][2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[at], 'JUSTID')
  elseif held[1] then
    lost[#lost + 1] = ARGV[at]
  end
end
return lost
