#!lua
-- Accept a task: hash, TTL, open set and all stream entries, or nothing. Without allow-oom: a full
-- server refuses new work. Repeat-safe by task_id, so an unknown outcome is answered by a repeat.
-- With an idempotency key the task is bound to its record in the same step; a record that another
-- upload holds by now means that this one was too slow.
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
local now = now_ms()
open_task(task, open, task_id, total, 'pending', now, ttl)
if ARGV[7] ~= '' then redis.call('HSET', task, 'replay_of', ARGV[7]) end
if record then
  redis.call('HSET', task, 'idempotency', record)
  redis.call('HSET', record, 'token', ARGV[5], 'task_id', task_id, 'digest', ARGV[6])
  -- Longer than the task, whose TTL is refreshed: a record whose task is gone counts as free.
  redis.call('PEXPIRE', record, 2 * ttl)
end
local at, last = 8, nil
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  local fields = {unpack(ARGV, at + 1, at + count)}
  last = redis.call('XADD', images, '*', unpack(fields))
  remember(task, fields)
  at = at + 1 + count
end
if last then saw(task, last) end
return 'accepted'
