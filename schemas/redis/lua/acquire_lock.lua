#!lua flags=allow-oom
-- Acquire a lock for a time if it is free, or extend a lock that the caller holds.
-- With allow-oom: the sweeper must delete expired data on a full server above all.
-- A lock without a TTL, which only an administrator can have set, would stop its job for ever: it
-- gets a TTL (NX). Returns 1 if the lock is the caller's.
-- KEYS lock
-- ARGV hold_ms extend(1 | 0)
if ARGV[2] == '0' and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1], 'NX')
  return 0
end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 1
