#!lua flags=allow-oom
-- Release an idempotency key whose upload became no task.
-- KEYS record
-- ARGV token
local token, task_id = unpack(redis.call('HMGET', KEYS[1], 'token', 'task_id'))
if token == ARGV[1] and not task_id then redis.call('DEL', KEYS[1]) end
return 1
