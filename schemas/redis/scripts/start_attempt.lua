#!lua flags=allow-oom
-- Note that a delivery's pixels are about to be worked on; repeated for the same delivery, once.
-- KEYS task   ARGV index entry delivery
local field = 'trials:' .. ARGV[1]
if redis.call('HEXISTS', KEYS[1], 'status') == 0 then return 0 end
local held = redis.call('HGET', KEYS[1], field)
local count, last = 0, ''
local this = ARGV[2] .. ' ' .. ARGV[3]
if held then count, last = string.match(held, '^(%d+) (.+)$') end
if last == this then return tonumber(count) end
redis.call('HSET', KEYS[1], field, (count + 1) .. ' ' .. this)
return count + 1
