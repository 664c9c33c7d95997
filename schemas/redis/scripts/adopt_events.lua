#!lua flags=allow-oom
-- Make stranded events pending again: delivered, held by no consumer, and not reported, which the
-- task says. Events stay in the stream after their ack, so a place there proves nothing.
-- Returns where to go on (empty: that was the end), up to where all are reported, as such a place,
-- and how many were found.
-- KEYS events   ARGV group consumer idle_ms start(- or an exclusive id) page task_key_prefix
--!include _groups
local stream, group, from, page = KEYS[1], ARGV[1], ARGV[4], tonumber(ARGV[5])
local last = delivered_until(stream, group)
if not last or from == '(' .. last then return {'', from, 0} end
local stranded, settled, all_settled = {}, from, true
local events = redis.call('XRANGE', stream, from, last, 'COUNT', page)
for _, event in ipairs(events) do
  local id, fields = event[1], pairs_of(event[2])
  -- The task's key is known only here; the hash tag keeps it in the same slot. One that is no hash,
  -- or of nobody, has nothing to report.
  local task = redis.pcall('HMGET', ARGV[6] .. (fields.task_id or ''), 'status', 'reported')
  if not task.err and is_final(task[1])
      and (not task[2] or added_ms(task[2]) < added_ms(id)) then
    all_settled = false
    if #redis.call('XPENDING', stream, group, id, id, 1) == 0 then
      stranded[#stranded + 1] = id
    end
  end
  from = '(' .. id
  if all_settled then settled = from end
end
hold(stream, group, ARGV[2], ARGV[3], stranded)
return {#events == page and from or '', settled, #stranded}
