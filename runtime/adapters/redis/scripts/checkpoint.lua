-- Stores steps, in order; a step of the same name is replaced.
-- KEYS[i]    record of the i-th step's run; those of one run that follow each other are stored by one write
-- ARGV[1]    retention, milliseconds
-- ARGV[2]    base of the keys
-- ARGV[3i], ARGV[3i+1], ARGV[3i+2]  epoch, the step's name, the step as packed by the client
-- and at last three arguments to sign with (see record.lua)
-- Returns one character a step: w (written), c (written, and the run is called off) or s (stale)

local retentionMs, base = ARGV[1], ARGV[2]
local at = struct.pack('>d', nowMs())
-- Fields of one command: Lua's stack bounds its arguments.
local fieldsMax = 1000

local function checkpoint(key, epoch, first, last)
  local record = recordOf(base, key)
  if not record then return 's' end
  if (record.state ~= 'r' and record.state ~= 'c') or record.epoch ~= epoch then return 's' end
  local fields = {}
  for index = first, last do
    record.checkpoints = record.checkpoints + 1
    fields[#fields + 1] = ARGV[3 * index + 1]
    fields[#fields + 1] = struct.pack('>I4', record.checkpoints) .. at .. ARGV[3 * index + 2]
  end
  redis.call('HSET', stepsKey(base, key), unpack(fields))
  put(base, key, record, retentionMs)
  return record.state == 'c' and 'c' or 'w'
end

local codes = {}
local first = 1
while first <= #KEYS do
  local last = first
  while KEYS[last + 1] == KEYS[first] and ARGV[3 * last + 3] == ARGV[3 * first] and 2 * (last + 1 - first) < fieldsMax do last = last + 1 end
  codes[#codes + 1] = checkpoint(KEYS[first], tonumber(ARGV[3 * first]), first, last):rep(last - first + 1)
  first = last + 1
end
sign(base, retentionMs)
return table.concat(codes)
