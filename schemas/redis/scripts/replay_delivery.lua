#!lua flags=allow-oom
-- Make a dead or waiting delivery due now, with all its tries before it, under the same id. A try
-- under way loses its claim, so the receiver may get it once more.
-- Returns due, the final state that forbids it, gone (task or results), or missing.
-- KEYS due delivery dead task   ARGV delivery_id
--!include _tasks
local due, delivery, id = KEYS[1], KEYS[2], ARGV[1]
local held = redis.call('HMGET', delivery, 'state', 'type')
if not held[1] then return 'missing' end
if held[1] ~= 'dead' and held[1] ~= 'due' then return held[1] end
if redis.call('EXISTS', KEYS[4]) == 0 then return 'gone' end
if redis.call('HEXISTS', KEYS[4], 'deleted') == 1 and held[2] == 'task.completed' then
  return 'gone'
end
local now = now_ms()
redis.call('HSET', delivery, 'state', 'due', 'created_at', now, 'attempts', 0)
redis.call('HDEL', delivery, 'token', 'finished_at')
redis.call('HINCRBY', delivery, 'replays', 1)
redis.call('ZADD', due, now, id)
redis.call('ZREM', KEYS[3], id)
return 'due'
