#!lua flags=allow-oom
-- Clear the mark of a result that needs review: a person has looked at it. Safe to repeat.
-- Returns a refusal as `correct` does, or accepted, index and the result's JSON.
-- KEYS task reviews
-- ARGV task_id name by
--!include _corrections
local task, task_id = KEYS[1], ARGV[1]
local status = redis.call('HGET', task, 'status')
if not status then return {'unknown_task'} end
local index, result = find_result(task, ARGV[2])
if not index then return {'unknown_result'} end
if not is_final(status) then return {'open'} end
local first, last = string.find(result, NEEDS_REVIEW, 1, true)
if first then
  result = string.sub(result, 1, first - 1) .. string.sub(result, last + 1)
  redis.call('HSET', task, 'result:' .. index, result, 'accepted:' .. index,
    '{"at":' .. now_ms() .. ',"by":"' .. ARGV[3] .. '"}')
end
redis.pcall('ZREM', KEYS[2], task_id .. ':' .. index)
return {'accepted', index, result}
