-- Makes the record of a run where there is none.
-- KEYS[1]  record
-- ARGV[1]  retention, milliseconds
-- ARGV[2]  base of the keys
-- ARGV[3]  state (w, x or p)
-- ARGV[4]  reason
-- ARGV[5]  payloadHash
-- ARGV[6]  pipelineHash
-- ARGV[7]  history entry that says who makes it and why, a JSON object, which gets its time; or nothing
-- ARGV[8]  number of steps; name, time of writing in milliseconds, and the step as packed by the client follow, for each
-- then     history entries
-- Returns 1, or 0 where there is a record

local retentionMs, base, key, steps = ARGV[1], ARGV[2], KEYS[1], tonumber(ARGV[8])
-- Before any worker has come, records begin in the layout that they will have.
if not bucketsOf(base) and redis.call('EXISTS', base .. 'sentinel') == 0 then
  redis.call('SET', base .. 'buckets', '1')
  setBuckets(1, 0)
end
if recordOf(base, key) then return 0 end
-- What an earlier record of the same event has left, if it has expired before them.
redis.call('DEL', stepsKey(base, key), historyKey(base, key), setbacksKey(base, key))
for index = 1, steps do
  local at = 6 + 3 * index
  redis.call('HSET', stepsKey(base, key), ARGV[at], struct.pack('>I4d', index, tonumber(ARGV[at + 1])) .. ARGV[at + 2])
end
for index = 9 + 3 * steps, #ARGV do
  note(base, key, ARGV[index], retentionMs)
end
if ARGV[7] ~= '' then note(base, key, '{"atMs":' .. string.format('%.0f', nowMs()) .. ',' .. ARGV[7]:sub(2), retentionMs) end
put(base, key, {
  state = ARGV[3], epoch = 0, failures = 0, losses = 0, restarts = 0, generation = 0, checkpoints = steps, leaseUntilMs = 0,
  payloadHash = ARGV[5], pipelineHash = ARGV[6], tail = ARGV[4],
}, retentionMs)
return 1
