#!lua flags=allow-oom
-- Make stranded entries of a work stream pending again: delivered to the group, but not pending,
-- because an administrator used XACK, XGROUP DELCONSUMER, SETID or CREATE with $.
-- Entries are deleted with their ack, so all up to the last delivered one should be pending. Only
-- the gaps between pending entries are read, since entries may be large.
-- Returns the next start (empty at the end) and how many stranded entries were found.
-- KEYS stream
-- ARGV group consumer idle_ms start(- or an exclusive id) pending_page max_found
--!include _groups
local stream, group, start = KEYS[1], ARGV[1], ARGV[4]
local page, max_found = tonumber(ARGV[5]), tonumber(ARGV[6])
local last = last_delivered(stream, group)
if not last then return {'', 0} end
local stranded = {}

local function read_gap(stop)
  local room = max_found - #stranded
  if room == 0 or start == '(' .. stop then return end
  for _, entry in ipairs(redis.call('XRANGE', stream, start, stop, 'COUNT', room)) do
    stranded[#stranded + 1] = entry[1]
  end
end

local pending = redis.call('XPENDING', stream, group, start, last, page)
for _, row in ipairs(pending) do
  read_gap('(' .. row[1])
  if #stranded == max_found then break end
  start = '(' .. row[1]
end
if #pending < page then read_gap(last) end
local next_start = ''
if #stranded == max_found then
  next_start = '(' .. stranded[max_found]
elseif #pending == page then
  next_start = start
end
make_pending(stream, group, ARGV[2], ARGV[3], stranded)
return {next_start, #stranded}
