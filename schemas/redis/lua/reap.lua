#!lua flags=allow-oom
-- Remove consumers that have long been idle and hold no entries. Check and removal are one step:
-- removing a consumer with pending entries would strand them. Returns the names.
-- KEYS stream
-- ARGV group min_idle_ms
local removed = {}
if redis.call('EXISTS', KEYS[1]) == 0 then return removed end
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for at = 1, #flat, 2 do consumer[flat[at]] = flat[at + 1] end
  if consumer.pending == 0 and consumer.idle >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    removed[#removed + 1] = consumer.name
  end
end
return removed
