#!lua flags=allow-oom
-- Record how an attempt ended, if no later attempt has begun: due again after a delay, or final
-- (delivered, dead, cancelled). The token stays, so a repeated call returns the same.
-- A dead delivery keeps its payload for a replay. Returns the state, or lost.
-- KEYS due delivery dead
-- ARGV delivery_id token state status delay_ms
--!include _tasks
local due, delivery, dead, id, state = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[3]
if redis.call('HGET', delivery, 'token') ~= ARGV[2] then return 'lost' end
local now = now_ms()
redis.call('HSET', delivery, 'state', state, 'status', ARGV[4])
if state == 'due' then
  redis.call('ZADD', due, now + tonumber(ARGV[5]), id)
  return state
end
redis.call('ZREM', due, id)
redis.call('HSET', delivery, 'finished_at', now)
if state == 'dead' then
  redis.call('ZADD', dead, now, id)
else
  redis.call('HDEL', delivery, 'payload')
end
return state
