#!lua flags=allow-oom
-- Claim a due delivery for one attempt. It is due again when the lease ends, so a dispatcher that
-- dies needs no other recovery. The same token again means that the response was lost.
-- Returns type, task_id, payload, attempts, age_ms, traceparent ('' if none); false if the delivery
-- is not due.
-- KEYS due delivery
-- ARGV delivery_id token lease_ms
--!include _tasks
local due, delivery, id, token = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local now, due_at = now_ms(), tonumber(redis.call('ZSCORE', due, id))
local state, event_type, task_id, text, created_at, attempts, last_token, traceparent = unpack(
  redis.call('HMGET', delivery, 'state', 'type', 'task_id', 'payload', 'created_at', 'attempts',
    'token', 'traceparent'))
local repeated = last_token == token
if not due_at or (due_at > now and not repeated) then return false end
if state ~= 'due' then
  redis.call('ZREM', due, id)
  return false
end
attempts, created_at = tonumber(attempts or ''), tonumber(created_at or '')
if not attempts or not created_at then
  return redis.error_reply('ERR a number is missing in the hash of the delivery')
end
if not repeated then
  attempts = attempts + 1
  redis.call('ZADD', due, now + tonumber(ARGV[3]), id)
  redis.call('HSET', delivery, 'token', token, 'attempts', attempts)
end
return {event_type, task_id, text, attempts, now - created_at, traceparent or ''}
