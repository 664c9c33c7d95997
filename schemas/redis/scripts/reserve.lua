#!lua
-- Hold an idempotency key for one upload, or keep holding it: the same token again renews the
-- lease. Without allow-oom: it comes before new work.
-- Returns held | busy (another upload has it) | used, task_id, digest.
-- KEYS record   ARGV token lease_ms task_key_prefix
local record, token = KEYS[1], ARGV[1]
local held = redis.call('HMGET', record, 'token', 'task_id', 'digest')
-- The task's key is known only here; the hash tag keeps it in the same slot.
if held[2] and redis.call('EXISTS', ARGV[3] .. held[2]) == 1 then
  return {'used', held[2], held[3]}
end
if held[1] and not held[2] and held[1] ~= token then return {'busy'} end
redis.call('DEL', record)
redis.call('HSET', record, 'token', token)
redis.call('PEXPIRE', record, ARGV[2])
return {'held'}
