#!lua flags=allow-oom
-- Fail the images of an open task that will never come: no activity for the timeout, and none of
-- them can be in the stream. Report a task that somebody has ended by setting its status.
-- KEYS task images open events   ARGV task_id timeout_ms ttl_ms code detail
--!include _tasks
local task, images, open = KEYS[1], KEYS[2], KEYS[3]
local task_id, now = ARGV[1], now_ms()
local held = redis.call('HMGET', task, 'status', 'total', 'finished_at')
local status, total = held[1], tonumber(held[2] or '')
local active = tonumber(redis.call('ZSCORE', open, task_id))
if not status or (is_final(status) and held[3]) then
  redis.call('ZREM', open, task_id)
  return 'closed'
end
-- It is not kept, so that it runs out.
if not total then return redis.error_reply('ERR the task has no total') end
if is_final(status) then
  return close_task(task, open, KEYS[4], task_id, total, now, ARGV[3], status)
end
extend_ttl(task, task_id, ARGV[3])
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
    done = write_outcome(task, open, KEYS[4], task_id, index, 'error', failure, outcome, now,
      ARGV[3])
  end
  succeeded = succeeded + redis.call('HEXISTS', task, 'result:' .. index)
end
if not is_final(redis.call('HGET', task, 'status')) then
  -- An outcome was written but not counted: the server refused half a step, for want of a right.
  redis.call('HSET', task, 'done', total, 'succeeded', succeeded)
  done = close_task(task, open, KEYS[4], task_id, total, now, ARGV[3])
end
return done
