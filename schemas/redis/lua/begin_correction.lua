#!lua flags=allow-oom
-- Begin the corrections of one result that are to be made. Without any (they were made, or the task
-- was deleted, has expired or was overwritten), the entry is acked and deleted.
-- Returns version and file to start from, then id and record of each correction; or nothing.
-- KEYS task corrections
-- ARGV group entry task_id index ttl_ms
--!include _corrections
local task, index = KEYS[1], tonumber(ARGV[4])
local result = redis.pcall('HGET', task, 'result:' .. index)
local waiting = type(result) == 'string' and waiting_corrections(task, index) or {}
if #waiting == 0 then
  ack_and_delete(KEYS[2], ARGV[1], ARGV[2])
  return {}
end
extend_ttl(task, ARGV[3], ARGV[5])
local version, file = current_version(task, index, result)
local reply = {version, file}
for _, id in ipairs(waiting) do
  reply[#reply + 1], reply[#reply + 2] = id, redis.call('HGET', task, 'correction:' .. id)
end
return reply
