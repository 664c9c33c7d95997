-- Shared by the steps that find stranded entries: delivered to a group, but not pending.
--!include _tasks

-- XINFO returns names and values in one flat list.
local function named(flat)
  local values = {}
  for at = 1, #flat, 2 do values[flat[at]] = flat[at + 1] end
  return values
end

-- The last id that a group has delivered; nil without the group. If XGROUP SETID has set it ahead
-- of the clock and of the stream, it is set back: otherwise entries that are added before the clock
-- reaches it would count as delivered.
local function last_delivered(stream, group)
  if redis.call('EXISTS', stream) == 0 then return nil end
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local found = named(flat)
    if found.name == group then
      local last = found['last-delivered-id']
      if added_ms(last) <= now_ms() then return last end
      local newest = named(redis.call('XINFO', 'STREAM', stream))['last-generated-id']
      if added_ms(newest) < added_ms(last) then
        redis.call('XGROUP', 'SETID', stream, group, newest)
        return newest
      end
      return last
    end
  end
  return nil
end

-- Make entries pending again with the idle time of an expired lease, so that the next reclaim takes
-- them. XCLAIM skips entries that are no longer in the stream. The delivery count starts at 0.
local function make_pending(stream, group, consumer, idle_ms, entries)
  if #entries == 0 then return end
  local command = {'XCLAIM', stream, group, consumer, 0}
  for _, entry in ipairs(entries) do command[#command + 1] = entry end
  for _, option in ipairs({'IDLE', idle_ms, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID'}) do
    command[#command + 1] = option
  end
  redis.call(unpack(command))
end
