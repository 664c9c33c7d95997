#!lua flags=allow-oom
-- Publish the event of an ended task again if it was deleted from the stream before it was
-- reported. It keeps its event_id. Returns 1 if it was published.
-- KEYS task events
-- ARGV task_id max_age_ms
--!include _tasks
local task, events, task_id = KEYS[1], KEYS[2], ARGV[1]
local status, total, event, reported = unpack(redis.call('HMGET', task, 'status', 'total', 'event',
  'reported'))
if not is_final(status) or not event or reported then return 0 end
if now_ms() - added_ms(event) > tonumber(ARGV[2]) then return 0 end
if redis.call('XRANGE', events, event, event)[1] then return 0 end
publish(task, events, task_id, status, tonumber(total))
return 1
