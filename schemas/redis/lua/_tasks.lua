-- Shared by the steps of a task. The time is always the server's. JSON is joined as text, because
-- cjson would turn an empty list into an empty object.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
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

-- Extend the TTL of a task and of its idempotency record. The record must outlive the task, since a
-- record without its task counts as free. The record's key is not in KEYS, but shares the hash tag.
-- A record that names another task by now is left alone. While a cluster moves our slot, the record
-- may be on the other node: that must not break off a step (pcall).
local function extend_ttl(task, task_id, ttl)
  redis.call('PEXPIRE', task, ttl)
  local record = redis.call('HGET', task, 'idempotency')
  if record and redis.pcall('HGET', record, 'task_id') == task_id then
    redis.call('PEXPIRE', record, 2 * tonumber(ttl))
  end
end

-- GT: after a failover the clock may be behind. With an earlier activity, entries that no step has
-- seen yet would seem to be missing from the stream (see may_be_queued).
local function mark_active(task, open, task_id, now, ttl)
  redis.call('ZADD', open, 'GT', now, task_id)
  extend_ttl(task, task_id, ttl)
end

local function open_task(task, open, task_id, total, status, now, ttl)
  redis.call('HSET', task, 'status', status, 'total', total, 'done', 0, 'succeeded', 0,
    'created_at', now)
  mark_active(task, open, task_id, now, ttl)
end

-- The contract's fields of an entry, by name and as a flat list. Of a repeated name the last value
-- counts, as it does for clients. Unknown fields are dropped: there may be more of them than Lua
-- can pass to one command.
local CONTRACT = {'v', 'task_id', 'index', 'total', 'filename', 'output', 'object', 'image',
  'traceparent'}

local function contract_fields(entry_fields)
  local values, by_name, flat = {}, {}, {}
  for at = 1, #entry_fields, 2 do values[entry_fields[at]] = entry_fields[at + 1] end
  for _, name in ipairs(CONTRACT) do
    if values[name] then
      by_name[name] = values[name]
      flat[#flat + 1], flat[#flat + 2] = name, values[name]
    end
  end
  return by_name, flat
end

-- W3C trace context. An outside publisher may send anything.
local TRACEPARENT = '^%x%x%-' .. string.rep('%x', 32) .. '%-' .. string.rep('%x', 16) .. '%-%x%x$'

-- The trace of the first entry that has one is the task's.
local function note_trace(task, traceparent)
  if traceparent and string.match(traceparent, TRACEPARENT) then
    redis.call('HSETNX', task, 'traceparent', traceparent)
  end
end

-- Store in the task what is needed to add an open image to the stream again: the id of its entry,
-- then its fields. Inline image bytes are not stored twice: such an image is lost with its entry.
local function store_entry(task, entry, entry_fields)
  local by_name, flat = contract_fields(entry_fields)
  note_trace(task, by_name.traceparent)
  local fields = by_name.image and '' or ' ' .. cjson.encode(flat)
  -- tonumber, since an entry may say 007.
  redis.call('HSET', task, 'entry:' .. tonumber(by_name.index or 0), entry .. fields)
end

-- Id and fields (JSON) of an image's stored entry. Each is nil if it is not known. Earlier versions
-- stored the fields without the id.
local function stored_entry(task, index)
  local stored = redis.call('HGET', task, 'entry:' .. index)
  if not stored then return nil, nil end
  local entry, fields = string.match(stored, '^(%d+%-%d+) ?(.*)$')
  if not entry then return nil, stored end
  return entry, fields ~= '' and fields or nil
end

local function added_ms(entry)
  return tonumber(string.match(entry, '^%d+'))
end

-- Note the newest entry of a task. Its id may be ahead of the clock: after a failover, or after an
-- entry that was added with an explicit id.
local function note_entry(task, entry)
  local newest = tonumber(redis.call('HGET', task, 'newest_added_ms'))
  if not newest or added_ms(entry) > newest then
    redis.call('HSET', task, 'newest_added_ms', string.match(entry, '^%d+'))
  end
end

-- Whether the stream may hold the entry of an open image. If no step has seen the entry (possible
-- for images of an outside publisher), it is not younger than the task's last activity or, where
-- ids are ahead of the clock, than the task's newest entry.
local function may_be_queued(task, images, index, active)
  local entry = stored_entry(task, index)
  if entry then return redis.call('XRANGE', images, entry, entry)[1] ~= nil end
  local oldest = redis.call('XRANGE', images, '-', '+', 'COUNT', 1)[1]
  local newest = tonumber(redis.call('HGET', task, 'newest_added_ms')) or 0
  return oldest ~= nil and added_ms(oldest[1]) <= math.max(active, newest)
end

-- Cannot match inside a file name, where quotes are escaped.
local NEEDS_REVIEW = ',"needs_review":true'

local function needs_review(result)
  return string.find(result, NEEDS_REVIEW, 1, true) ~= nil
end

-- The JSON of task-status, in the field order of schemas/contract/tasks.py. A stored result has no
-- index. With `updated`, an index, `changed` is the JSON of that result in place of the stored one.
local function payload(task, task_id, status, total, updated, changed)
  local results, errors, review = {}, {}, false
  for index = 0, total - 1 do
    local result = redis.call('HGET', task, 'result:' .. index)
    local failure = redis.call('HGET', task, 'error:' .. index)
    if index == updated then result = changed end
    if result then
      results[#results + 1] = '{"index":' .. index .. ',' .. string.sub(result, 2)
      review = review or needs_review(result)
    end
    if failure then errors[#errors + 1] = failure end
  end
  return '{"task_id":"' .. task_id .. '","status":"' .. status
    .. '","results":[' .. table.concat(results, ',')
    .. '],"errors":[' .. table.concat(errors, ',')
    .. '],"progress":{"done":' .. total .. ',"total":' .. total
    .. '},"needs_review":' .. tostring(review)
    .. (updated and ',"updated":' .. cjson.encode(cjson.decode(changed).filename) or '') .. '}'
end

-- The trace context of a step that adds entries or publishes an event; empty if it has none. The
-- event of a task's end then continues the task's trace.
local step_traceparent = ''

local function with_trace(fields, traceparent)
  if traceparent and traceparent ~= '' then
    fields[#fields + 1], fields[#fields + 2] = 'traceparent', traceparent
  end
  return fields
end

-- The task stores the event's id, so that a deleted event can be detected (see reissue_event).
local function publish(task, events, task_id, status, total)
  local fields = {'event_id', 'evt_' .. task_id, 'type', 'task.' .. status, 'task_id', task_id,
    'payload', payload(task, task_id, status, total)}
  local traceparent = step_traceparent ~= '' and step_traceparent
    or redis.call('HGET', task, 'traceparent')
  local event = redis.call('XADD', events, '*', unpack(with_trace(fields, traceparent)))
  redis.call('HSET', task, 'event', event)
end

-- Put the results of an ended task that need review into the queue. The fraction keeps the results
-- of one task in order. An overwritten queue must not keep a task open (pcall).
local function queue_reviews(task, reviews, task_id, total, now)
  for index = 0, total - 1 do
    local result = redis.call('HGET', task, 'result:' .. index)
    if result and needs_review(result) then
      redis.pcall('ZADD', reviews, now + index / 1024, task_id .. ':' .. index)
    end
  end
end

-- The only step to a final status, with the only completion event. The event comes first: if it
-- cannot be added, the task stays open and the sweeper closes it later.
local function close_task(task, open, events, reviews, task_id, total, now, ttl, status)
  local succeeded = tonumber(redis.call('HGET', task, 'succeeded')) or 0
  status = status or (succeeded > 0 and 'completed' or 'failed')
  publish(task, events, task_id, status, total)
  redis.call('HSET', task, 'status', status, 'finished_at', now)
  extend_ttl(task, task_id, ttl)
  redis.call('ZREM', open, task_id)
  queue_reviews(task, reviews, task_id, total, now)
  return status
end

local function count_outcomes(task, total)
  local count = 0
  for index = 0, total - 1 do count = count + redis.call('HEXISTS', task, 'outcome:' .. index) end
  return count
end

-- Write the outcome of one image, once; kind is 'result' or 'error'. No two calls have the same
-- outcome. So if it is stored already, this call is repeated because its response was lost: it
-- returns the same again.
local function write_outcome(task, open, events, reviews, task_id, index, kind, public, outcome,
    now, ttl)
  local status = redis.call('HGET', task, 'status')
  if not status then return 'gone' end
  local stored = redis.call('HGET', task, 'outcome:' .. index)
  if stored and stored ~= outcome then return 'closed' end
  if stored then
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
    -- Counted again, in case `done` was changed from outside: no image may be lost.
    done = count_outcomes(task, total)
    redis.call('HSET', task, 'done', done)
  end
  if done >= total then
    redis.call('HSET', task, 'last', index)
    return close_task(task, open, events, reviews, task_id, total, now, ttl)
  end
  if status == 'pending' then redis.call('HSET', task, 'status', 'processing') end
  mark_active(task, open, task_id, now, ttl)
  return 'written'
end
