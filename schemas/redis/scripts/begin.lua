#!lua flags=allow-oom
-- Take up one image: create the task of a direct publisher, check the entry against its task,
-- reserve index and output name. Anything but 'run' says why the image must not be processed.
-- max_total binds new tasks only: one that was accepted under a higher limit goes on.
-- The result is stored as `stored`: `output`, the name that was asked for, without the characters
-- that receivers misread. So an image may take a name that another one asks for; whoever comes
-- second is answered 'output_taken', and asks again with another `stored`.
-- KEYS task images open
-- ARGV group entry task_id index total('' if absent) identity output ttl_ms max_total stored
--!include _tasks
local task, images, open = KEYS[1], KEYS[2], KEYS[3]
local group, entry, task_id, index = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local total, identity, output, ttl = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local stored = ARGV[10]
local now = now_ms()
local status = redis.call('HGET', task, 'status')
local found, is_known = nil, redis.call('HEXISTS', task, 'entry:' .. index) == 1
if not status or (string.sub(identity, 1, 7) == 'object:' and not is_known) then
  found = redis.call('XRANGE', images, entry, entry)[1]
end
if not status then
  -- Read before everything was flushed: no task must come of what is left of one.
  if not found then return 'gone' end
  if index >= (total or 1) then return 'index_out_of_range' end
  if (total or 1) > tonumber(ARGV[9]) then return 'total_too_large' end
  open_task(task, open, task_id, total or 1, 'processing', now, ttl)
else
  local held = tonumber(redis.call('HGET', task, 'total'))
  if total and total ~= held then return 'total_conflict' end
  if index >= held then return 'index_out_of_range' end
end
local known = redis.call('HGET', task, 'image:' .. index)
if known and known ~= identity then return 'index_conflict' end
if redis.call('HEXISTS', task, 'outcome:' .. index) == 1 then
  ack_and_delete(images, group, entry)
  return 'duplicate'
end
if status and is_final(status) then
  ack_and_delete(images, group, entry)
  return 'gone'
end

local function is_anothers(name)
  local owner = redis.call('HGET', task, 'output:' .. name)
  return owner and tonumber(owner) ~= index
end

local asked_twice = is_anothers(output)
if asked_twice and redis.call('HEXISTS', task, 'renamed:' .. output) == 0 then
  return 'output_conflict'
end
if is_anothers(stored) then return 'output_taken' end
redis.call('HSET', task, 'image:' .. index, identity, 'output:' .. stored, index)
if stored ~= output then
  redis.call('HSET', task, 'renamed:' .. stored, index)
  if not asked_twice then redis.call('HSET', task, 'output:' .. output, index) end
end
note_entry(task, entry)
if found then
  store_entry(task, entry, found[2])
elseif not is_known then
  redis.call('HSET', task, 'entry:' .. index, entry)
end
redis.call('HDEL', task, 'restored:' .. index)
if status == 'pending' then redis.call('HSET', task, 'status', 'processing') end
mark_active(task, open, task_id, now, ttl)
return 'run'
