#!lua flags=allow-oom
-- Make a stream and its group if missing; at 0, since $ would skip what waits there. With allow-oom:
-- on a full server, too, a process that starts must be able to finish what was accepted.
-- KEYS stream   ARGV group
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
return 1
