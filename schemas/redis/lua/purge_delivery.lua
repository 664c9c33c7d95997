#!lua flags=allow-oom
-- Cancel a dead or waiting delivery. Its hash stays until it expires: without the hash, the same
-- event would create the delivery again. Returns cancelled, the final state, or missing.
-- KEYS due delivery dead
-- ARGV delivery_id
--!include _tasks
local due, delivery, dead, id = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local state = redis.call('HGET', delivery, 'state')
redis.call('ZREM', dead, id)
if not state then
  redis.call('ZREM', due, id)
  return 'missing'
end
if state ~= 'dead' and state ~= 'due' then return state end
redis.call('ZREM', due, id)
redis.call('HSET', delivery, 'state', 'cancelled', 'status', 'purged', 'finished_at', now_ms())
redis.call('HDEL', delivery, 'payload', 'token')
return 'cancelled'
