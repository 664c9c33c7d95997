-- Shared by the steps of corrections. A result's fields in the task's hash:
--   corrections:<index>  ids of all its corrections, in the order of their acceptance
--   correction:<id>      JSON: what was asked for, by whom, when
--   corrected:<id>       JSON: what became of it; missing while it is to be made
--   correcting:<index>   newest entry in the stream of corrections
--   version:<index>      how many corrections are in it, name of its file, SHA-256 of the file
--   update:<event_id>    entry of an event that was not reported yet
--!include _tasks

-- Index and JSON of the result with a file name; nil if the task has none.
local function find_result(task, name)
  local index = redis.call('HGET', task, 'output:' .. name)
  local result = index and redis.call('HGET', task, 'result:' .. index)
  if not result or cjson.decode(result).filename ~= name then return nil, nil end
  return tonumber(index), result
end

-- Version of a result, and its file. Version 0 is the worker's, under the name of the result.
local function current_version(task, index, result)
  local stored = redis.call('HGET', task, 'version:' .. index)
  if not stored then return 0, cjson.decode(result).filename end
  local version, file = string.match(stored, '^(%d+) (%S+)')
  return tonumber(version), file
end

-- Ids of the corrections of a result that are still to be made, oldest first; how many there are in
-- all.
local function waiting_corrections(task, index)
  local waiting, count = {}, 0
  for id in string.gmatch(redis.call('HGET', task, 'corrections:' .. index) or '', '%S+') do
    count = count + 1
    if redis.call('HEXISTS', task, 'corrected:' .. id) == 0
        and redis.call('HEXISTS', task, 'correction:' .. id) == 1 then
      waiting[#waiting + 1] = id
    end
  end
  return waiting, count
end

local function queue_correction(task, corrections, task_id, index)
  local fields = with_trace({'v', 1, 'task_id', task_id, 'index', index}, step_traceparent)
  local entry = redis.call('XADD', corrections, '*', unpack(fields))
  redis.call('HSET', task, 'correcting:' .. index, entry)
end

-- Publish the event of a result's new version. Its id is known beforehand, and so the same if it is
-- published again.
local function publish_update(task, events, task_id, index, version, result)
  local status, total = unpack(redis.call('HMGET', task, 'status', 'total'))
  local event_id = 'upd_' .. task_id .. '_' .. index .. '_' .. version
  local fields = {'event_id', event_id, 'type', 'result.updated', 'task_id', task_id,
    'filename', cjson.decode(result).filename, 'version', version,
    'payload', payload(task, task_id, status, tonumber(total), index, result)}
  local event = redis.call('XADD', events, '*', unpack(with_trace(fields, step_traceparent)))
  redis.call('HSET', task, 'update:' .. event_id, event)
end
