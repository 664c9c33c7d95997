#!lua flags=allow-oom
-- Add the open images of a task to the stream again whose entries are missing: the entries, or the
-- whole stream, were deleted. An entry that is added twice does no harm, since the first outcome
-- wins. An image is added at most MAX_TIMES without a begin in between: an entry that contradicts a
-- changed task hash would return for ever.
-- Returns how many were added.
-- KEYS task images open
-- ARGV task_id min_idle_ms
--!include _tasks
local MAX_TIMES = 5
local task, images, open, task_id = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local status, total = unpack(redis.call('HMGET', task, 'status', 'total'))
total = tonumber(total or '')
local active = tonumber(redis.call('ZSCORE', open, task_id))
if not status or is_final(status) or not total or not active then return 0 end
local now, added, queued, last = now_ms(), 0, false, nil
if now - active < tonumber(ARGV[2]) then return 0 end
for index = 0, total - 1 do
  local _, fields = stored_entry(task, index)
  local times = tonumber(redis.call('HGET', task, 'restored:' .. index) or '') or 0
  if not fields then
    -- It has ended, or cannot be added again.
  elseif may_be_queued(task, images, index, active) then
    queued = true
  elseif times < MAX_TIMES then
    local _, flat = contract_fields(cjson.decode(fields))
    last = redis.call('XADD', images, '*', unpack(flat))
    store_entry(task, last, flat)
    redis.call('HSET', task, 'restored:' .. index, times + 1)
    added = added + 1
  end
end
if last then
  note_entry(task, last)
  if not queued then
    -- All newer entries are gone, so this may also go back.
    redis.call('HSET', task, 'newest_added_ms', string.match(last, '^%d+'))
  end
  redis.call('ZADD', open, 'GT', now, task_id)
end
return added
