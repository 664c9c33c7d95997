#!lua flags=allow-oom
-- Keep the leases of entries that this consumer still owns; returns those that others own now.
-- An entry that nobody owns was settled a moment ago, or somebody has taken it from this consumer
-- by XACK or DELCONSUMER: if it is still in the stream, it is this consumer's again (FORCE), also
-- from the name under which the sweeper holds what nobody owns.
-- JUSTID: a renewal is no delivery, so it must not count as one.
-- KEYS images   ARGV group consumer stranded_consumer entry...
local lost = {}
for at = 4, #ARGV do
  local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[at], ARGV[at], 1)
  local owner = held[1] and held[1][2] or ARGV[3]
  if owner == ARGV[2] or owner == ARGV[3] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[at], 'FORCE', 'JUSTID')
  else
    lost[#lost + 1] = ARGV[at]
  end
end
return lost
