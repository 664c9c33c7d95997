-- Shared by the steps that look for entries which a group has delivered and holds no longer.
--!include _tasks

-- XINFO answers in pairs.
local function pairs_of(flat)
  local named = {}
  for at = 1, #flat, 2 do named[flat[at]] = flat[at + 1] end
  return named
end

-- The id up to which a group has delivered; nil without the group. Where somebody has set it ahead
-- of the clock and of the stream, it is set back: what is added before the clock reaches it would
-- count as delivered.
local function delivered_until(stream, group)
  if redis.call('EXISTS', stream) == 0 then return nil end
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local found = pairs_of(flat)
    if found.name == group then
      local last = found['last-delivered-id']
      if added_ms(last) <= now_ms() then return last end
      local newest = pairs_of(redis.call('XINFO', 'STREAM', stream))['last-generated-id']
      if added_ms(newest) < added_ms(last) then
        redis.call('XGROUP', 'SETID', stream, group, newest)
        return newest
      end
      return last
    end
  end
  return nil
end

-- Make entries pending again, as if their owner had been silent for a lease: whoever looks for
-- abandoned entries takes them over at once. What is not in the stream any more is passed over.
-- No delivery is counted, since nobody has worked on them under this one.
local function hold(stream, group, consumer, idle_ms, entries)
  if #entries == 0 then return end
  local call = {'XCLAIM', stream, group, consumer, 0}
  for _, entry in ipairs(entries) do call[#call + 1] = entry end
  for _, option in ipairs({'IDLE', idle_ms, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID'}) do
    call[#call + 1] = option
  end
  redis.call(unpack(call))
end
