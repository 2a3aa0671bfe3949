-- Stores steps, in order; a step of the same name is replaced.
-- KEYS[i]    record of the i-th step's run
-- ARGV[1]    retention, milliseconds
-- ARGV[2]    base of the keys
-- ARGV[3i], ARGV[3i+1], ARGV[3i+2]  epoch, the step's name, the step as packed by the client
-- and at last three arguments to sign with (see record.lua)
-- Returns one character a step: w (written), c (written, and the run is called off) or s (stale)

local retentionMs, base = ARGV[1], ARGV[2]
local at = struct.pack('>d', nowMs())

local function checkpoint(key, epoch, name, step)
  local value = redis.call('GET', key)
  if not value then return 's' end
  local record = decode(value)
  if (record.state ~= 'r' and record.state ~= 'c') or record.epoch ~= epoch then return 's' end
  record.checkpoints = record.checkpoints + 1
  redis.call('HSET', stepsKey(base, key), name, struct.pack('>I4', record.checkpoints) .. at .. step)
  put(base, key, record, retentionMs)
  return record.state == 'c' and 'c' or 'w'
end

local codes = {}
for index = 1, #KEYS do
  codes[index] = checkpoint(KEYS[index], tonumber(ARGV[3 * index]), ARGV[3 * index + 1], ARGV[3 * index + 2])
end
sign(base, retentionMs)
return table.concat(codes)
