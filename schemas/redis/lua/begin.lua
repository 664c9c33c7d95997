#!lua flags=allow-oom
-- Begin one image: create the task of an outside publisher, check the entry against its task, and
-- reserve index and output name. Every result but 'run' says why the image must not be processed.
-- max_total limits new tasks only: a task that was accepted under a higher limit goes on.
-- The result is stored as `stored`: the requested name without characters that receivers misread.
-- So two images may need the same stored name: the second one gets 'output_taken' and must call
-- again with another `stored`.
-- KEYS task images open
-- ARGV group entry task_id index total('' if absent) identity requested ttl_ms max_total stored
--!include _tasks
local task, images, open = KEYS[1], KEYS[2], KEYS[3]
local group, entry, task_id, index = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local total, identity, requested, ttl = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local max_total, stored = tonumber(ARGV[9]), ARGV[10]
local now = now_ms()
local status = redis.call('HGET', task, 'status')
local found, is_entry_stored = nil, redis.call('HEXISTS', task, 'entry:' .. index) == 1
if not status or (string.sub(identity, 1, 7) == 'object:' and not is_entry_stored) then
  found = redis.call('XRANGE', images, entry, entry)[1]
end
if not status then
  -- The entry was read before a FLUSHALL or DEL: it must not create a task again.
  if not found then return 'gone' end
  if index >= (total or 1) then return 'index_out_of_range' end
  if (total or 1) > max_total then return 'total_too_large' end
  open_task(task, open, task_id, total or 1, 'processing', now, ttl)
else
  local task_total = tonumber(redis.call('HGET', task, 'total'))
  if total and total ~= task_total then return 'total_conflict' end
  if index >= task_total then return 'index_out_of_range' end
end
local first_identity = redis.call('HGET', task, 'image:' .. index)
if first_identity and first_identity ~= identity then return 'index_conflict' end
if redis.call('HEXISTS', task, 'outcome:' .. index) == 1 then
  ack_and_delete(images, group, entry)
  return 'duplicate'
end
if status and is_final(status) then
  ack_and_delete(images, group, entry)
  return 'gone'
end

local function is_of_another_image(name)
  local owner = redis.call('HGET', task, 'output:' .. name)
  return owner and tonumber(owner) ~= index
end

local requested_twice = is_of_another_image(requested)
if requested_twice and redis.call('HEXISTS', task, 'renamed:' .. requested) == 0 then
  return 'output_conflict'
end
if is_of_another_image(stored) then return 'output_taken' end
redis.call('HSET', task, 'image:' .. index, identity, 'output:' .. stored, index)
if stored ~= requested then
  redis.call('HSET', task, 'renamed:' .. stored, index)
  if not requested_twice then redis.call('HSET', task, 'output:' .. requested, index) end
end
note_entry(task, entry)
if found then
  store_entry(task, entry, found[2])
elseif not is_entry_stored then
  redis.call('HSET', task, 'entry:' .. index, entry)
end
redis.call('HDEL', task, 'restored:' .. index)
if status == 'pending' then redis.call('HSET', task, 'status', 'processing') end
mark_active(task, open, task_id, now, ttl)
return 'run'
