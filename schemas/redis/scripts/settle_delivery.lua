#!lua flags=allow-oom
-- Record how an attempt ended, if it is still the last one: due again after a delay, or over
-- (delivered, dead, cancelled). The token stays, so a repeated call answers the same.
-- A dead delivery keeps its payload for a replay. Returns the state, or lost.
-- KEYS due delivery dead   ARGV delivery_id token state status delay_ms
--!include _tasks
local due, delivery, id, state = KEYS[1], KEYS[2], ARGV[1], ARGV[3]
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
  redis.call('ZADD', KEYS[3], now, id)
else
  redis.call('HDEL', delivery, 'payload')
end
return state
