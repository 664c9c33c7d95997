#!lua
-- Accept a task: hash, TTL, open set and all stream entries, or nothing. Without allow-oom: a full
-- server refuses new work. Safe to repeat with the same task_id after a lost response.
-- With an idempotency key, the same step binds the task to the key's record. If another upload
-- holds the record by now, this one was too slow: 'lost'.
-- Returns accepted | exists | backlog | lost.
-- KEYS task images open, then perhaps: record
-- ARGV task_id total max_backlog ttl_ms token digest replay_of, per entry: n, n field values
--!include _tasks
local task, images, open, record = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local task_id, total, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
if redis.call('EXISTS', task) == 1 then return 'exists' end
if record then
  local holder = redis.call('HGET', record, 'token')
  if holder and holder ~= ARGV[5] then return 'lost' end
end
if redis.call('XLEN', images) + total > tonumber(ARGV[3]) then return 'backlog' end
local entries = {}

local function accept()
  local at = 8
  while at <= #ARGV do
    local count = tonumber(ARGV[at])
    local fields = {unpack(ARGV, at + 1, at + count)}
    entries[#entries + 1] = redis.call('XADD', images, '*', unpack(fields))
    store_entry(task, entries[#entries], fields)
    at = at + 1 + count
  end
  if ARGV[7] ~= '' then redis.call('HSET', task, 'replay_of', ARGV[7]) end
  open_task(task, open, task_id, total, 'pending', now_ms(), ttl)
  -- The record comes last, with commands that have just worked: it need never be undone.
  if record then
    redis.call('HSET', task, 'idempotency', record)
    redis.call('HSET', record, 'token', ARGV[5], 'task_id', task_id, 'digest', ARGV[6])
    extend_ttl(task, task_id, ttl)
  end
end

local done, refusal = pcall(accept)
if done then return 'accepted' end
-- A server keeps what a failed script has written (a right may be missing, or the stream be out of
-- ids), and a repeated call would take half a task for an accepted one.
for _, entry in ipairs(entries) do redis.pcall('XDEL', images, entry) end
redis.pcall('ZREM', open, task_id)
redis.pcall('DEL', task)
return type(refusal) == 'table' and refusal or redis.error_reply(tostring(refusal))
