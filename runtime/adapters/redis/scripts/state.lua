-- Puts a step on the record of a run that is parked, as somebody states it.
-- KEYS[1]  record
-- ARGV[1]  retention, milliseconds
-- ARGV[2]  base of the keys
-- ARGV[3]  epoch of the run as it was seen
-- ARGV[4]  the step's name
-- ARGV[5]  the step as packed by the client
-- ARGV[6]  history entry, a JSON object, which gets its time
-- Returns u (unknown), m (moved: it is not parked, or was claimed since) or w (written)

local retentionMs, base, key = ARGV[1], ARGV[2], KEYS[1]
local record = recordOf(base, key)
if not record then return 'u' end
if record.state ~= 'p' or record.epoch ~= tonumber(ARGV[3]) then return 'm' end
local now = nowMs()
record.checkpoints = record.checkpoints + 1
redis.call('HSET', stepsKey(base, key), ARGV[4], struct.pack('>I4d', record.checkpoints, now) .. ARGV[5])
put(base, key, record, retentionMs)
note(base, key, '{"atMs":' .. string.format('%.0f', now) .. ',' .. ARGV[6]:sub(2), retentionMs)
return 'w'
