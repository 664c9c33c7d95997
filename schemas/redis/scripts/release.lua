#!lua flags=allow-oom
-- Give an idempotency key back that was held for an upload which became no task.
-- KEYS record   ARGV token
local held = redis.call('HMGET', KEYS[1], 'token', 'task_id')
if held[1] == ARGV[1] and not held[2] then redis.call('DEL', KEYS[1]) end
return 1
