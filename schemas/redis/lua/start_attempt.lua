#!lua flags=allow-oom
-- Count a delivery whose image, or correction, is about to be processed; a repeated call counts once.
-- KEYS task
-- ARGV attempts_name entry delivery
local task, field, this = KEYS[1], 'trials:' .. ARGV[1], ARGV[2] .. ' ' .. ARGV[3]
if redis.call('HEXISTS', task, 'status') == 0 then return 0 end
local stored = redis.call('HGET', task, field)
local count, last = 0, ''
if stored then count, last = string.match(stored, '^(%d+) (.+)$') end
if last == this then return tonumber(count) end
redis.call('HSET', task, field, (count + 1) .. ' ' .. this)
return count + 1
