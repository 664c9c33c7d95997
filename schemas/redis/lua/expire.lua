#!lua flags=allow-oom
-- Fail the missing images of an open task: it has had no activity for the timeout, and the stream
-- cannot hold their entries. Publish the event of a task whose status was set from outside.
-- Returns active | queued (wait longer), closed (nothing to do), or the final status.
-- KEYS task images open events reviews
-- ARGV task_id timeout_ms ttl_ms code detail
--!include _tasks
local task, images, open, events, reviews = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local task_id, ttl, now = ARGV[1], ARGV[3], now_ms()
local status, total, finished_at = unpack(redis.call('HMGET', task, 'status', 'total',
  'finished_at'))
total = tonumber(total or '')
local active = tonumber(redis.call('ZSCORE', open, task_id))
if not status or (is_final(status) and finished_at) then
  redis.call('ZREM', open, task_id)
  return 'closed'
end
-- The TTL of such a task is not extended, so it expires.
if not total then return redis.error_reply('ERR the task has no total') end
if is_final(status) then
  return close_task(task, open, events, reviews, task_id, total, now, ttl, status)
end
extend_ttl(task, task_id, ttl)
if not active or now - active < tonumber(ARGV[2]) then return 'active' end
for index = 0, total - 1 do
  if redis.call('HEXISTS', task, 'outcome:' .. index) == 0
      and may_be_queued(task, images, index, active) then
    return 'queued'
  end
end
local done, succeeded = 'closed', 0
for index = 0, total - 1 do
  if redis.call('HEXISTS', task, 'outcome:' .. index) == 0 then
    local failure = '{"index":' .. index .. ',"filename":null,"code":"' .. ARGV[4]
      .. '","detail":"' .. ARGV[5] .. '"}'
    local outcome = '{"code":"' .. ARGV[4] .. '"}'
    done = write_outcome(task, open, events, reviews, task_id, index, 'error', failure, outcome,
      now, ttl)
  end
  succeeded = succeeded + redis.call('HEXISTS', task, 'result:' .. index)
end
if not is_final(redis.call('HGET', task, 'status')) then
  -- An outcome was written but not counted: a step was broken off because a right was missing.
  redis.call('HSET', task, 'done', total, 'succeeded', succeeded)
  done = close_task(task, open, events, reviews, task_id, total, now, ttl)
end
return done
