#!lua flags=allow-oom
-- Take a due delivery for one attempt: it is due again when the lease ends, so a sender that dies
-- needs no other recovery. The same token again means that the answer was lost on its way.
-- Returns type, task_id, payload, attempts, age in ms; false if not due.
-- KEYS due delivery   ARGV delivery_id token lease_ms
--!include _tasks
local due, delivery, id = KEYS[1], KEYS[2], ARGV[1]
local now, score = now_ms(), tonumber(redis.call('ZSCORE', due, id))
local held = redis.call('HMGET', delivery, 'state', 'type', 'task_id', 'payload', 'created_at',
  'attempts', 'token')
local attempts, repeated = held[6] and tonumber(held[6]), held[7] == ARGV[2]
if not score or (score > now and not repeated) then return false end
if held[1] ~= 'due' then
  redis.call('ZREM', due, id)
  return false
end
if not attempts or not held[5] or not tonumber(held[5]) then
  return redis.error_reply('ERR a number is missing in the hash of the delivery')
end
if not repeated then
  attempts = attempts + 1
  redis.call('ZADD', due, now + tonumber(ARGV[3]), id)
  redis.call('HSET', delivery, 'token', ARGV[2], 'attempts', attempts)
end
return {held[2], held[3], held[4], attempts, now - tonumber(held[5])}
