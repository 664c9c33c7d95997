#!lua flags=allow-oom
-- Replace a result's file by a new version, if it is still the version that the new one was made
-- from, and record what became of its corrections; then ack and delete the entry. Without a file,
-- all of them were refused.
-- Returns written | stale (another worker has made some of them: begin again) | gone (the task was
-- deleted or has expired). A repeated call returns what the first one returned.
-- KEYS task corrections events
-- ARGV group entry task_id index base_version file('' if none) sha256 ttl_ms
--   traceparent('' if none), per correction: id, done | refused, record(the JSON's fields, closed)
--!include _corrections
step_traceparent = ARGV[9]
local task, corrections, events = KEYS[1], KEYS[2], KEYS[3]
local group, entry, task_id, index = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local base, file, now = tonumber(ARGV[5]), ARGV[6], now_ms()
local result = redis.call('HGET', task, 'result:' .. index)
if not result then
  ack_and_delete(corrections, group, entry)
  return 'gone'
end
local version, current = current_version(task, index, result)
if file ~= '' and current == file then
  ack_and_delete(corrections, group, entry)
  return 'written'
end
local is_stale, done, ends = version ~= base, 0, {}
for at = 10, #ARGV, 3 do
  local ended = redis.call('HEXISTS', task, 'corrected:' .. ARGV[at]) == 1
  local accepted = redis.call('HEXISTS', task, 'correction:' .. ARGV[at]) == 1
  is_stale = is_stale or ended or not accepted
  if ARGV[at + 1] == 'done' then done = done + 1 end
  ends[#ends + 1] = 'corrected:' .. ARGV[at]
  ends[#ends + 1] = '{"at":' .. now .. ',' .. ARGV[at + 2]
end
if is_stale then return 'stale' end
if file ~= '' then
  version = version + done
  local changed = string.gsub(result, ',"version":%d+}$', '}')
  changed = string.sub(changed, 1, -2) .. ',"version":' .. version .. '}'
  -- The event comes first: if it cannot be added, the correction is made again.
  publish_update(task, events, task_id, index, version, changed)
  redis.call('HSET', task, 'result:' .. index, changed,
    'version:' .. index, version .. ' ' .. file .. ' ' .. ARGV[7])
end
redis.call('HSET', task, unpack(ends))
redis.call('HDEL', task, 'trials:correction:' .. index)
extend_ttl(task, task_id, ARGV[8])
ack_and_delete(corrections, group, entry)
return 'written'
