#!lua flags=allow-oom
-- Replace a task with a tombstone: no results, and the one event if the task was unfinished. Its
-- entries that are still in the stream are dropped later, because of the tombstone.
-- KEYS task open events
-- ARGV task_id ttl_ms code detail
--!include _tasks
local task, open, events, task_id, ttl = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]
local status, total, created_at, deleted, reported = unpack(redis.call('HMGET', task, 'status',
  'total', 'created_at', 'deleted', 'reported'))
if not status then return 'missing' end
if deleted then return 'deleted' end
total = tonumber(total)
local now = now_ms()
redis.call('DEL', task)
redis.call('HSET', task, 'status', 'failed', 'total', total, 'done', total, 'succeeded', 0,
  'created_at', created_at, 'deleted', now)
for index = 0, total - 1 do
  redis.call('HSET', task, 'error:' .. index, '{"index":' .. index .. ',"filename":null,"code":"'
    .. ARGV[3] .. '","detail":"' .. ARGV[4] .. '"}')
end
if is_final(status) then
  redis.call('HSET', task, 'finished_at', now)
  if reported then redis.call('HSET', task, 'reported', reported) end
  redis.call('PEXPIRE', task, ttl)
else
  close_task(task, open, events, task_id, total, now, ttl)
end
return 'deleted'
