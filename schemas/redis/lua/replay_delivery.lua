#!lua flags=allow-oom
-- Make a dead or waiting delivery due now, with all attempts before it, under the same id. A
-- running attempt loses its claim, so the receiver may get the delivery once more.
-- Returns due, the final state that forbids it, gone (task or results), or missing.
-- KEYS due delivery dead task
-- ARGV delivery_id
--!include _tasks
local due, delivery, dead, task, id = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local state, event_type = unpack(redis.call('HMGET', delivery, 'state', 'type'))
if not state then return 'missing' end
if state ~= 'dead' and state ~= 'due' then return state end
if redis.call('EXISTS', task) == 0 then return 'gone' end
if redis.call('HEXISTS', task, 'deleted') == 1 and event_type ~= 'task.failed' then
  return 'gone'
end
local now = now_ms()
redis.call('HSET', delivery, 'state', 'due', 'created_at', now, 'attempts', 0)
redis.call('HDEL', delivery, 'token', 'finished_at')
redis.call('HINCRBY', delivery, 'replays', 1)
redis.call('ZADD', due, now, id)
redis.call('ZREM', dead, id)
return 'due'
