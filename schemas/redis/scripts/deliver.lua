#!lua flags=allow-oom
-- Turn an event into its deliveries, due at once, and ack it. A delivery that was ever created is
-- not created again: its hash outlives the event. The event of a later task of the same id, which
-- ends after the first has run out, is another one. Returns how many were created, -1 if the event
-- is older than the task it tells of may live.
-- The task remembers that its event was reported, so that an event which is stranded is told from
-- one that is done with. Without kinds, an event is only noted and acked.
-- KEYS events dead task, then per kind: due delivery
-- ARGV group entry max_age_ms ttl_ms event_id type task_id payload, then per kind: delivery_id
--!include _tasks
local now, created, max_age = now_ms(), 0, tonumber(ARGV[3])
local ended = added_ms(ARGV[2])
if redis.pcall('HEXISTS', KEYS[3], 'status') == 1 then
  local before = redis.call('HGET', KEYS[3], 'reported')
  if not before or added_ms(before) < ended then
    redis.call('HSET', KEYS[3], 'reported', ARGV[2])
  end
end
if now - ended > max_age then
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
  return -1
end
for at = 4, #KEYS, 2 do
  local due, delivery, id = KEYS[at], KEYS[at + 1], ARGV[8 + (at - 2) / 2]
  local before = tonumber(redis.call('HGET', delivery, 'ended_at'))
  if before and ended - before >= max_age then
    redis.call('DEL', delivery)
    redis.call('ZREM', KEYS[2], id)
  end
  if redis.call('EXISTS', delivery) == 0 then
    redis.call('HSET', delivery, 'state', 'due', 'ended_at', ended, 'event_id', ARGV[5],
      'type', ARGV[6], 'task_id', ARGV[7], 'payload', ARGV[8], 'created_at', now, 'attempts', 0)
    redis.call('PEXPIRE', delivery, ARGV[4])
    redis.call('ZADD', due, now, id)
    created = created + 1
  end
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return created
