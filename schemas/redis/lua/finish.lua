#!lua flags=allow-oom
-- Write the outcome of an image, then ack and delete its entry; the last image closes the task.
-- Returns written | completed | failed, or closed (another outcome was first) | gone (the task was
-- deleted). A repeated call returns what the first one returned.
-- KEYS task images open events reviews
-- ARGV group entry task_id index kind public outcome ttl_ms traceparent('' if none)
--!include _tasks
step_traceparent = ARGV[9]
local done = write_outcome(KEYS[1], KEYS[3], KEYS[4], KEYS[5], ARGV[3], tonumber(ARGV[4]), ARGV[5],
  ARGV[6], ARGV[7], now_ms(), ARGV[8])
ack_and_delete(KEYS[2], ARGV[1], ARGV[2])
return done
