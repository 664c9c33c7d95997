#!lua flags=allow-oom
-- Add the corrections of a task to their stream again whose entries were deleted, and the events of
-- updated results that were deleted before they were reported. An entry that is added twice does no
-- harm. A task with corrections that are to be made does not expire.
-- Returns how many of each were added.
-- KEYS task corrections events
-- ARGV task_id ttl_ms max_age_ms
--!include _corrections
local task, corrections, events, task_id = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local total = tonumber(redis.call('HGET', task, 'total') or '') or 0
local added, published, now = 0, 0, now_ms()
for index = 0, total - 1 do
  if #waiting_corrections(task, index) > 0 then
    extend_ttl(task, task_id, ARGV[2])
    local entry = redis.call('HGET', task, 'correcting:' .. index)
    if not entry or not redis.call('XRANGE', corrections, entry, entry)[1] then
      queue_correction(task, corrections, task_id, index)
      added = added + 1
    end
  end
end
local fields = redis.call('HGETALL', task)
for at = 1, #fields, 2 do
  local index, version = string.match(fields[at], '^update:upd_.*_(%d+)_(%d+)$')
  local event = fields[at + 1]
  if index and now - added_ms(event) > tonumber(ARGV[3]) then
    redis.call('HDEL', task, fields[at])
  elseif index and not redis.call('XRANGE', events, event, event)[1] then
    local result = redis.call('HGET', task, 'result:' .. index)
    publish_update(task, events, task_id, tonumber(index), tonumber(version), result)
    published = published + 1
  end
end
return {added, published}
