#!lua flags=allow-oom
-- Make stranded events pending again: delivered to the group, but neither pending nor reported. The
-- task says whether its event was reported; the stream does not, since events stay after their ack.
-- Returns the next start (empty at the end), the start before which all events are reported, and
-- how many stranded events were found.
-- KEYS events
-- ARGV group consumer idle_ms start(- or an exclusive id) page task_key_prefix
--!include _groups
local stream, group, start, page = KEYS[1], ARGV[1], ARGV[4], tonumber(ARGV[5])
local last = last_delivered(stream, group)
if not last or start == '(' .. last then return {'', start, 0} end
local stranded, reported_until, all_reported = {}, start, true
local events = redis.call('XRANGE', stream, start, last, 'COUNT', page)

-- The response to a read, false if the key holds something else. Other errors end the step: while a
-- cluster moves our slot, a task that is on the other node does not count as reported.
local function read(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  return not string.find(reply.err, 'WRONGTYPE', 1, true) and redis.call(...)
end

-- The task's key is not in KEYS, but shares the hash tag. A key that is missing or holds no hash
-- has nothing to report.
local function is_unreported(id, fields)
  local key = ARGV[6] .. (fields.task_id or '')
  if fields.type == 'result.updated' then
    return read('HEXISTS', key, 'update:' .. (fields.event_id or '')) == 1
  end
  local task = read('HMGET', key, 'status', 'reported')
  return task and is_final(task[1])
    and (not task[2] or added_ms(task[2]) < added_ms(id))
end

for _, event in ipairs(events) do
  local id, fields = event[1], named(event[2])
  if is_unreported(id, fields) then
    all_reported = false
    if #redis.call('XPENDING', stream, group, id, id, 1) == 0 then
      stranded[#stranded + 1] = id
    end
  end
  start = '(' .. id
  if all_reported then reported_until = start end
end
make_pending(stream, group, ARGV[2], ARGV[3], stranded)
return {#events == page and start or '', reported_until, #stranded}
