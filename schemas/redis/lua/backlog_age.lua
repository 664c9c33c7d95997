#!lua flags=no-writes
-- Return the age of the oldest entry of a stream in milliseconds, 0 if the stream is empty. As a
-- script, so that the bytes of an inline image stay in the server.
-- KEYS images
--!include _tasks
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not oldest then return 0 end
return math.max(0, now_ms() - tonumber(string.match(oldest[1], '^%d+')))
