#!lua flags=allow-oom
-- Leave a tombstone: no results, the one event if the task was unfinished. Entries that are still
-- in the stream find it and are dropped.
-- KEYS task open events   ARGV task_id ttl_ms code detail
--!include _tasks
local task, open, events, task_id = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local held = redis.call('HMGET', task, 'status', 'total', 'created_at', 'deleted',
  'reported')
if not held[1] then return 'missing' end
if held[4] then return 'deleted' end
local total, now = tonumber(held[2]), now_ms()
redis.call('DEL', task)
redis.call('HSET', task, 'status', 'failed', 'total', total, 'done', total, 'succeeded', 0,
  'created_at', held[3], 'deleted', now)
for index = 0, total - 1 do
  redis.call('HSET', task, 'error:' .. index, '{"index":' .. index .. ',"filename":null,"code":"'
    .. ARGV[3] .. '","detail":"' .. ARGV[4] .. '"}')
end
if is_final(held[1]) then
  redis.call('HSET', task, 'finished_at', now)
  if held[5] then redis.call('HSET', task, 'reported', held[5]) end
  redis.call('PEXPIRE', task, ARGV[2])
else
  close_task(task, open, events, task_id, total, now, ARGV[2])
end
return 'deleted'
