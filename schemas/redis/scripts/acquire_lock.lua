#!lua flags=allow-oom
-- Acquire a lock that nobody holds, for a time; or hold one's own for longer ('extend').
-- With allow-oom: expired data must be deleted above all where there is no memory left.
-- A lock without a TTL was not set by this service and would stop the job for ever: it gets one (NX).
-- KEYS lock   ARGV hold_ms mode(take | extend)
if ARGV[2] == 'take' and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1], 'NX')
  return 0
end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 1
