#!lua
-- Accept a task: hash, TTL, open set and all stream entries, or nothing. Without allow-oom: a full
-- server refuses new work. Repeat-safe by task_id, so an unknown outcome is answered by a repeat.
-- KEYS task images open   ARGV task_id total max_backlog ttl_ms, then per entry: n, n field values
--!include _tasks
local task, images, open = KEYS[1], KEYS[2], KEYS[3]
local task_id, total = ARGV[1], tonumber(ARGV[2])
if redis.call('EXISTS', task) == 1 then return 'exists' end
if redis.call('XLEN', images) + total > tonumber(ARGV[3]) then return 'backlog' end
open_task(task, open, task_id, total, 'pending', now_ms(), ARGV[4])
local at = 5
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  redis.call('XADD', images, '*', unpack(ARGV, at + 1, at + count))
  at = at + 1 + count
end
return 'accepted'
