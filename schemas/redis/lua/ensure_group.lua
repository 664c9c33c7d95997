#!lua flags=allow-oom
-- Create a stream and its group if missing; at 0, since $ would skip the entries that wait.
-- With allow-oom: a process that starts on a full server must be able to finish accepted work.
-- KEYS stream
-- ARGV group
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
return 1
