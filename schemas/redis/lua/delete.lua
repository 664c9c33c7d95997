#!lua flags=allow-oom
-- Replace a task with a tombstone: no results, and the one event if the task was unfinished. Its
-- entries that are still in the streams are dropped later, because of the tombstone.
-- KEYS task open events reviews
-- ARGV task_id ttl_ms code detail
--!include _tasks
local task, open, events, reviews = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local task_id, ttl = ARGV[1], ARGV[2]
local status, total, created_at, deleted, reported, traceparent = unpack(redis.call('HMGET', task,
  'status', 'total', 'created_at', 'deleted', 'reported', 'traceparent'))
if not status then return 'missing' end
if deleted then return 'deleted' end
total = tonumber(total)
local now = now_ms()
-- The key never ceases to exist: while a cluster moves our slot, it could not be created again.
local fields = redis.call('HGETALL', task)
redis.call('HSET', task, 'deleted', now)
for at = 1, #fields, 2 do redis.call('HDEL', task, fields[at]) end
redis.call('HSET', task, 'status', 'failed', 'total', total, 'done', total, 'succeeded', 0,
  'created_at', created_at, 'deleted', now)
note_trace(task, traceparent)
for index = 0, total - 1 do
  redis.call('HSET', task, 'error:' .. index, '{"index":' .. index .. ',"filename":null,"code":"'
    .. ARGV[3] .. '","detail":"' .. ARGV[4] .. '"}')
  redis.pcall('ZREM', reviews, task_id .. ':' .. index)
end
if is_final(status) then
  redis.call('HSET', task, 'finished_at', now)
  if reported then redis.call('HSET', task, 'reported', reported) end
  redis.call('PEXPIRE', task, ttl)
else
  close_task(task, open, events, reviews, task_id, total, now, ttl)
end
return 'deleted'
