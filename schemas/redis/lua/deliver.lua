#!lua flags=allow-oom
-- Create the deliveries of an event, due at once, and ack the event. A delivery is created only
-- once: its hash outlives the event. If a task id is used again after the first task has expired,
-- the event of the later task is another event.
-- The task stores that its event was reported, so that a stranded event can be detected; for an
-- updated result it stores that it was not (see finish_correction). Without kinds, the event is only
-- marked as reported and acked.
-- Returns how many were created; -1 if the event is older than a task may live.
-- KEYS events dead task, then per kind: due delivery
-- ARGV group entry max_age_ms ttl_ms event_id type task_id payload traceparent('' if none),
--   then per kind: delivery_id
--!include _tasks
local events, dead, task = KEYS[1], KEYS[2], KEYS[3]
local group, entry, max_age, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local now, created, ended = now_ms(), 0, added_ms(entry)
if redis.pcall('HEXISTS', task, 'status') ~= 1 then
  -- It has expired, or its key was overwritten.
elseif ARGV[6] == 'result.updated' then
  redis.call('HDEL', task, 'update:' .. ARGV[5])
else
  local reported = redis.call('HGET', task, 'reported')
  if not reported or added_ms(reported) < ended then
    redis.call('HSET', task, 'reported', entry)
  end
end
if now - ended > max_age then
  redis.call('XACK', events, group, entry)
  return -1
end
for at = 4, #KEYS, 2 do
  local due, delivery, id = KEYS[at], KEYS[at + 1], ARGV[9 + (at - 2) / 2]
  local ended_before = tonumber(redis.call('HGET', delivery, 'ended_at'))
  if ended_before and ended - ended_before >= max_age then
    redis.call('DEL', delivery)
    redis.call('ZREM', dead, id)
  end
  if redis.call('EXISTS', delivery) == 0 then
    redis.call('HSET', delivery, 'state', 'due', 'ended_at', ended, 'event_id', ARGV[5],
      'type', ARGV[6], 'task_id', ARGV[7], 'payload', ARGV[8], 'created_at', now, 'attempts', 0)
    if ARGV[9] ~= '' then redis.call('HSET', delivery, 'traceparent', ARGV[9]) end
    redis.call('PEXPIRE', delivery, ttl)
    redis.call('ZADD', due, now, id)
    created = created + 1
  end
end
redis.call('XACK', events, group, entry)
return created
