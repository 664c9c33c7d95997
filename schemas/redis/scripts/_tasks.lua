-- Shared by the steps of a task. Only Redis' own clock is used, and payloads are joined as text:
-- cjson would turn an empty list into an empty object.

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function is_final(status)
  return status == 'completed' or status == 'failed'
end

-- Ack and delete, so that XLEN is backlog plus in flight.
local function ack_and_delete(stream, group, entry)
  if redis.call('EXISTS', stream) == 1 then
    redis.call('XACK', stream, group, entry)
    redis.call('XDEL', stream, entry)
  end
end

-- A task's time to live, and that of its idempotency record, which has to outlast it: a record whose
-- task is gone counts as free. The record's key is known only here; the hash tag keeps it in the
-- same slot. One that was lost, and is another upload's by now, is left alone.
local function extend_ttl(task, task_id, ttl)
  redis.call('PEXPIRE', task, ttl)
  local record = redis.call('HGET', task, 'idempotency')
  if record and redis.call('HGET', record, 'task_id') == task_id then
    redis.call('PEXPIRE', record, 2 * tonumber(ttl))
  end
end

-- GT: after a failover the clock may be behind. Entries that no step has seen yet would then look
-- younger than the last activity, as if they had never been added.
local function mark_active(task, open, task_id, now, ttl)
  redis.call('ZADD', open, 'GT', now, task_id)
  extend_ttl(task, task_id, ttl)
end

local function open_task(task, open, task_id, total, status, now, ttl)
  redis.call('HSET', task, 'status', status, 'total', total, 'done', 0, 'succeeded', 0,
    'created_at', now)
  mark_active(task, open, task_id, now, ttl)
end

-- The fields of the contract, by name and as a flat list. A name that comes twice means what its
-- readers take it for: the last value. All other fields are left out: nobody reads them, and they
-- may be more than a command can be given.
local CONTRACT = {'v', 'task_id', 'index', 'total', 'filename', 'output', 'object', 'image',
  'traceparent'}

local function contract_fields(entry)
  local values, named, flat = {}, {}, {}
  for at = 1, #entry, 2 do values[entry[at]] = entry[at + 1] end
  for _, name in ipairs(CONTRACT) do
    if values[name] then
      named[name] = values[name]
      flat[#flat + 1], flat[#flat + 2] = name, values[name]
    end
  end
  return named, flat
end

-- Keep where an open image waits, and what it takes to add it to the stream again: the id of its
-- entry, then the fields. Bytes inside an entry are not kept twice: such an image is lost with its
-- entry.
local function store_entry(task, entry, fields)
  local named, flat = contract_fields(fields)
  local kept = named.image and '' or ' ' .. cjson.encode(flat)
  -- As a number, since an entry may say 007.
  redis.call('HSET', task, 'entry:' .. tonumber(named.index or 0), entry .. kept)
end

-- Id and fields (JSON) of an image's entry; nil where none was seen yet, or had its bytes inside.
-- Earlier versions kept no id.
local function stored_entry(task, index)
  local kept = redis.call('HGET', task, 'entry:' .. index)
  if not kept then return nil, nil end
  local entry, fields = string.match(kept, '^(%d+%-%d+) ?(.*)$')
  if not entry then return nil, kept end
  return entry, fields ~= '' and fields or nil
end

local function added_ms(entry)
  return tonumber(string.match(entry, '^%d+'))
end

-- Note an entry of a task: its id may be ahead of the clock, after a failover or because somebody
-- chose the id of an entry before it.
local function note_entry(task, entry)
  local newest = tonumber(redis.call('HGET', task, 'newest_added_ms'))
  if not newest or added_ms(entry) > newest then
    redis.call('HSET', task, 'newest_added_ms', string.match(entry, '^%d+'))
  end
end

-- Whether the stream may hold the entry of an open image. Where no step has seen the entry, which
-- is so for images of a direct publisher, none is younger than the task's last activity or, where
-- ids are ahead of the clock, than the newest that was seen.
local function may_be_queued(task, images, index, active)
  local entry = stored_entry(task, index)
  if entry then return redis.call('XRANGE', images, entry, entry)[1] ~= nil end
  local oldest = redis.call('XRANGE', images, '-', '+', 'COUNT', 1)[1]
  local newest = tonumber(redis.call('HGET', task, 'newest_added_ms')) or 0
  return oldest ~= nil and added_ms(oldest[1]) <= math.max(active, newest)
end

-- The JSON of task-status, field for field as schemas/contract/tasks.py writes it. What is looked for in a
-- result cannot be part of a name in it: there, quotes are escaped.
local function payload(task, task_id, status, total)
  local results, errors, review = {}, {}, false
  for index = 0, total - 1 do
    local result = redis.call('HGET', task, 'result:' .. index)
    local failure = redis.call('HGET', task, 'error:' .. index)
    if result then
      results[#results + 1] = result
      review = review or string.find(result, '"needs_review":true', 1, true) ~= nil
    end
    if failure then errors[#errors + 1] = failure end
  end
  return '{"task_id":"' .. task_id .. '","status":"' .. status
    .. '","results":[' .. table.concat(results, ',')
    .. '],"errors":[' .. table.concat(errors, ',')
    .. '],"progress":{"done":' .. total .. ',"total":' .. total
    .. '},"needs_review":' .. tostring(review) .. '}'
end

-- The task remembers its event's id, so that an event which is deleted unread can be told.
local function publish(task, events, task_id, status, total)
  local event = redis.call('XADD', events, '*', 'event_id', 'evt_' .. task_id,
    'type', 'task.' .. status, 'task_id', task_id, 'payload', payload(task, task_id, status, total))
  redis.call('HSET', task, 'event', event)
end

-- The one terminal transition of a task, with its one event. The event first: where it cannot be
-- added, the task stays open, and the sweeper closes it later.
local function close_task(task, open, events, task_id, total, now, ttl, status)
  local succeeded = tonumber(redis.call('HGET', task, 'succeeded')) or 0
  status = status or (succeeded > 0 and 'completed' or 'failed')
  publish(task, events, task_id, status, total)
  redis.call('HSET', task, 'status', status, 'finished_at', now)
  extend_ttl(task, task_id, ttl)
  redis.call('ZREM', open, task_id)
  return status
end

-- Images of a task that have an outcome.
local function ended_images(task, total)
  local ended = 0
  for index = 0, total - 1 do ended = ended + redis.call('HEXISTS', task, 'outcome:' .. index) end
  return ended
end

-- Writes the outcome of one image, once. kind is 'result' or 'error'. No two calls have the same
-- outcome: where it stands already, this call's answer was lost and is given again.
local function write_outcome(task, open, events, task_id, index, kind, public, outcome, now, ttl)
  local status = redis.call('HGET', task, 'status')
  if not status then return 'gone' end
  local held = redis.call('HGET', task, 'outcome:' .. index)
  if held and held ~= outcome then return 'closed' end
  if held then
    local closed_it = is_final(status) and redis.call('HGET', task, 'last') == tostring(index)
    return closed_it and status or 'written'
  end
  if is_final(status) then return 'gone' end
  redis.call('HSET', task, kind .. ':' .. index, public, 'outcome:' .. index, outcome)
  redis.call('HDEL', task, 'entry:' .. index, 'trials:' .. index, 'restored:' .. index)
  local done = redis.call('HINCRBY', task, 'done', 1)
  if kind == 'result' then redis.call('HINCRBY', task, 'succeeded', 1) end
  local total = tonumber(redis.call('HGET', task, 'total'))
  if done >= total then
    -- Counted anew, since the number may have been changed: no image is lost for it.
    done = ended_images(task, total)
    redis.call('HSET', task, 'done', done)
  end
  if done >= total then
    redis.call('HSET', task, 'last', index)
    return close_task(task, open, events, task_id, total, now, ttl)
  end
  if status == 'pending' then redis.call('HSET', task, 'status', 'processing') end
  mark_active(task, open, task_id, now, ttl)
  return 'written'
end
