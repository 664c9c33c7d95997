#!lua flags=allow-oom
-- Give up a dead or waiting delivery for good. Its hash stays until it expires: without it the
-- same event, read again, would be delivered. Returns cancelled, the final state, or missing.
-- KEYS due delivery dead   ARGV delivery_id
--!include _tasks
local delivery, id = KEYS[2], ARGV[1]
local state = redis.call('HGET', delivery, 'state')
redis.call('ZREM', KEYS[3], id)
if not state then
  redis.call('ZREM', KEYS[1], id)
  return 'missing'
end
if state ~= 'dead' and state ~= 'due' then return state end
redis.call('ZREM', KEYS[1], id)
redis.call('HSET', delivery, 'state', 'cancelled', 'status', 'purged', 'finished_at', now_ms())
redis.call('HDEL', delivery, 'payload', 'token')
return 'cancelled'
