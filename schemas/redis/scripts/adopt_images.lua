#!lua flags=allow-oom
-- Make stranded entries of the work stream pending again: entries that were delivered but that no
-- consumer holds, because somebody typed XACK, XGROUP DELCONSUMER, SETID or CREATE with $. Entries
-- are deleted with their ack, so all up to the last delivered one ought to be pending. Only the
-- gaps between pending entries are read, never the pending ones: these may be large.
-- Returns where to go on (empty: that was the end) and how many were found.
-- KEYS images   ARGV group consumer idle_ms start(- or an exclusive id) pending_page most
--!include _groups
local stream, group, from = KEYS[1], ARGV[1], ARGV[4]
local page, most = tonumber(ARGV[5]), tonumber(ARGV[6])
local last = delivered_until(stream, group)
if not last then return {'', 0} end
local stranded = {}

local function look(upto)
  local room = most - #stranded
  if room == 0 or from == '(' .. upto then return end
  for _, entry in ipairs(redis.call('XRANGE', stream, from, upto, 'COUNT', room)) do
    stranded[#stranded + 1] = entry[1]
  end
end

local pending = redis.call('XPENDING', stream, group, from, last, page)
for _, row in ipairs(pending) do
  look('(' .. row[1])
  if #stranded == most then break end
  from = '(' .. row[1]
end
if #pending < page then look(last) end
local next_start = ''
if #stranded == most then
  next_start = '(' .. stranded[most]
elseif #pending == page then
  next_start = from
end
hold(stream, group, ARGV[2], ARGV[3], stranded)
return {next_start, #stranded}
