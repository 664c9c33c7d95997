#!lua flags=allow-oom
-- Take a turn that nobody has, and keep it for a time; or keep one's own for longer ('extend').
-- With allow-oom: what has expired must be cleaned up above all where there is no room.
-- A turn without an end is none of ours and would stop the chore for ever: it is given one (NX).
-- KEYS turn   ARGV hold_ms mode(take | extend)
if ARGV[2] == 'take' and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1], 'NX')
  return 0
end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 1
