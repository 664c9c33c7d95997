#!lua flags=allow-oom
-- Renew the leases of entries that this consumer still owns; returns those that others own now.
-- An entry without an owner was settled a moment ago, or an administrator used XACK or DELCONSUMER:
-- if it is still in the stream, this consumer takes it back (FORCE). It also takes back entries of
-- the consumer name under which the sweeper holds stranded entries.
-- JUSTID: a renewal must not count as a delivery.
-- KEYS stream
-- ARGV group consumer stranded_consumer entry...
local stream, group, consumer, stranded = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local lost = {}
for at = 4, #ARGV do
  local pending = redis.call('XPENDING', stream, group, ARGV[at], ARGV[at], 1)[1]
  local owner = pending and pending[2] or stranded
  if owner == consumer or owner == stranded then
    redis.call('XCLAIM', stream, group, consumer, 0, ARGV[at], 'FORCE', 'JUSTID')
  else
    lost[#lost + 1] = ARGV[at]
  end
end
return lost
