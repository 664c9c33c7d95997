#!lua flags=allow-oom
-- Dead-letter an entry: record the reason, never pixels, and fail its image if it has one.
-- An entry that is no longer in the stream was settled before: nothing is written twice.
-- KEYS task images open events reviews dead_letters
-- ARGV group entry task_id index(-1: no image) total public outcome ttl_ms reason, field values
--!include _tasks
local task, images, open = KEYS[1], KEYS[2], KEYS[3]
local group, entry, task_id, index = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local total, ttl, now = tonumber(ARGV[5]), ARGV[8], now_ms()
local found = redis.call('XRANGE', images, entry, entry)[1]
if not found then return 'settled' end
-- If the task's key holds no hash, only the letter is written: an error would redeliver the entry
-- for ever.
local probe = redis.pcall('HGET', task, 'total')
if type(probe) == 'table' and probe.err then index = -1 end
local letter = {'reason', ARGV[9], 'entry', entry, 'task_id', task_id, 'at', now}
-- What a replay and an administrator need; no value longer than a name may be.
local by_name = contract_fields(found[2])
for _, name in ipairs({'index', 'total', 'filename', 'output', 'object', 'traceparent'}) do
  local value = by_name[name]
  if value and #value <= 1024 then letter[#letter + 1], letter[#letter + 2] = name, value end
end
if by_name.image then
  letter[#letter + 1], letter[#letter + 2] = 'image_bytes', #by_name.image
  letter[#letter + 1], letter[#letter + 2] = 'image_sha1', redis.sha1hex(by_name.image)
end
for at = 10, #ARGV do letter[#letter + 1] = ARGV[at] end
redis.call('XADD', KEYS[6], '*', unpack(letter))
local done = 'recorded'
if index >= 0 then
  if redis.call('EXISTS', task) == 0 and index < (total or 1) then
    open_task(task, open, task_id, total or 1, 'processing', now, ttl)
    note_trace(task, by_name.traceparent)
  end
  local task_total = tonumber(redis.call('HGET', task, 'total'))
  if task_total and index < task_total and (not total or total == task_total) then
    note_entry(task, entry)
    done = write_outcome(task, open, KEYS[4], KEYS[5], task_id, index, 'error', ARGV[6], ARGV[7],
      now, ttl)
  end
end
ack_and_delete(images, group, entry)
return done
