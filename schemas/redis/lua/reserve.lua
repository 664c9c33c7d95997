#!lua
-- Reserve an idempotency key for one upload; the same token again renews the lease. Without
-- allow-oom: it comes before new work.
-- Returns held | busy (another upload holds it) | used, task_id, digest.
-- KEYS record
-- ARGV token lease_ms task_key_prefix
local record, token = KEYS[1], ARGV[1]
local holder, task_id, digest = unpack(redis.call('HMGET', record, 'token', 'task_id', 'digest'))
-- The task's key is not in KEYS, but shares the hash tag.
if task_id and redis.call('EXISTS', ARGV[3] .. task_id) == 1 then
  return {'used', task_id, digest}
end
if holder and not task_id and holder ~= token then return {'busy'} end
redis.call('DEL', record)
redis.call('HSET', record, 'token', token)
redis.call('PEXPIRE', record, ARGV[2])
return {'held'}
