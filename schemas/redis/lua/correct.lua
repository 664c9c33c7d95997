#!lua
-- Accept a correction of a result, and add it to the stream. Without allow-oom: a full server refuses
-- new work. Safe to repeat with the same id.
-- Returns a refusal: unknown_task | unknown_result | open | conflict (the id was used for something
-- else) | too_many | backlog; or accepted, the result's index and JSON, what became of the
-- correction ('' while it is to be made).
-- KEYS task corrections
-- ARGV task_id name id record(the JSON's fields, closed) max_corrections max_backlog ttl_ms
--   traceparent('' if none)
--!include _corrections
step_traceparent = ARGV[8]
local task, corrections = KEYS[1], KEYS[2]
local task_id, name, id, record, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[7]
local status = redis.call('HGET', task, 'status')
if not status then return {'unknown_task'} end
local index, result = find_result(task, name)
if not is_final(status) then return {index and 'open' or 'unknown_result'} end
if not index then return {'unknown_result'} end
local stored = redis.call('HGET', task, 'correction:' .. id)
if stored then
  if string.match(stored, '^{"index":%d+,"at":%d+,(.*)$') ~= record then return {'conflict'} end
  return {'accepted', index, result, redis.call('HGET', task, 'corrected:' .. id) or ''}
end
local _, count = waiting_corrections(task, index)
if count >= tonumber(ARGV[5]) then return {'too_many'} end
if redis.call('XLEN', corrections) >= tonumber(ARGV[6]) then return {'backlog'} end
local all = redis.call('HGET', task, 'corrections:' .. index)
-- The entry comes first: if the rest fails, it finds nothing to do.
queue_correction(task, corrections, task_id, index)
redis.call('HSET', task, 'is_corrected', 1, 'corrections:' .. index, (all and all .. ' ' or '') .. id,
  'correction:' .. id, '{"index":' .. index .. ',"at":' .. now_ms() .. ',' .. record)
extend_ttl(task, task_id, ttl)
return {'accepted', index, result, ''}
