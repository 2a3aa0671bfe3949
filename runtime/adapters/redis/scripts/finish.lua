-- Marks runs done in the plain layout, with their outbox, behind their last steps.
-- KEYS[i]    record of the i-th run
-- ARGV[1]    retention, milliseconds
-- ARGV[2]    base of the keys
-- ARGV[3]    1: leases are short beside the retention, so that a run whose lease lasts keeps the end of life that its lease gave it
-- ARGV[3+i]  the epoch in decimal; with an outbox ':' and the outbox follow; with steps ';', the number of fields that they are (names,
--            and steps as packed by the client), ';', each field behind its length (4), and the outbox
-- and at last three arguments to sign with (see record.lua)
-- Returns `compact` where the layout is that (see places.lua), and does nothing; else one character a run: w (written, also when it was written before) or s (stale)

local retentionMs, base = ARGV[1], ARGV[2]
local call, byte, find, sub = redis.call, string.byte, string.find, string.sub
local now = nowMs()
local at = struct.pack('>d', now)
-- The lease is over with the run: in its place stands when that was.
local leaseAt = headerBytes - 7

if redis.call('EXISTS', base .. 'buckets') == 1 then return 'compact' end

local function pipelineEndOf(value)
  return find(value, '\0', find(value, '\0', headerBytes + 1, true) + 1, true)
end

-- How many fields are read by what: each behind its length.
local formats = {}

local function formatOf(count)
  if not formats[count] then formats[count] = '>' .. ('I4c0'):rep(count) end
  return formats[count]
end

-- Stores the steps of a write. Returns the record with their number, and the outbox behind them.
local function putSteps(key, value, write, from)
  local countEnd = find(write, ';', from, true)
  local count = tonumber(sub(write, from, countEnd - 1))
  local checkpoints = struct.unpack('>I4', value, checkpointsAt)
  local fields = { struct.unpack(formatOf(count), write, countEnd + 1) }
  local position = table.remove(fields)
  for field = 2, count, 2 do
    checkpoints = checkpoints + 1
    fields[field] = struct.pack('>I4', checkpoints) .. at .. fields[field]
  end
  call('HSET', stepsKey(base, key), unpack(fields))
  return sub(value, 1, checkpointsAt - 1) .. struct.pack('>I4', checkpoints) .. sub(value, checkpointsAt + 4), sub(write, position)
end

-- A run whose record is not as most are, or with more to write.
local function finish(key, value, write)
  local mark, outbox = find(write, '[:;]'), ''
  local epoch = struct.pack('>I4', tonumber(mark and sub(write, 1, mark - 1) or write))
  if not value or sub(value, 2, 5) ~= epoch then return 's' end
  local state = sub(value, 1, 1)
  if state == 'd' then return 'w' end
  -- One that is called off and comes to its end all the same is done.
  if state ~= 'r' and state ~= 'c' then return 's' end
  if mark and byte(write, mark) == 59 then
    value, outbox = putSteps(key, value, write, mark + 1)
  elseif mark then
    outbox = sub(write, mark + 1)
  end
  call('SET', key, 'd' .. sub(value, 2, leaseAt - 1) .. at .. sub(value, headerBytes + 1, pipelineEndOf(value)) .. outbox, 'PX', retentionMs)
  local restarts, restart, generations, generation, one, two, three, four = byte(value, 10, 17)
  if one + two + three + four > 0 then call('PEXPIRE', stepsKey(base, key), retentionMs) end
  if restarts + restart + generations + generation > 0 then call('PEXPIRE', historyKey(base, key), retentionMs) end
  return 'w'
end

-- What most runs are finished with, and what their records begin with: under the first claim, without steps, never given up.
local plainWrite, plainHead = '1', 'r' .. struct.pack('>I4I2I2I2I2I4', 1, 0, 0, 0, 0, 0)
local plainBytes = #plainHead
local doneHead = 'd' .. sub(plainHead, 2)
-- Redis has it since version 6.
local keepsLife = ARGV[3] == '1'

-- A run like most; its record is not decoded. A new end of life costs as much as the rest of the write.
local function finishPlain(key, value)
  local done = doneHead .. at .. sub(value, headerBytes + 1, pipelineEndOf(value))
  -- As a number: Lua compares texts by the server's locale.
  if keepsLife and struct.unpack('>d', value, leaseAt) > now then
    local reply = redis.pcall('SET', key, done, 'KEEPTTL')
    if not reply.err then return end
    keepsLife = false
  end
  call('SET', key, done, 'PX', retentionMs)
end

local function areAllPlain()
  for index = 1, #KEYS do
    if ARGV[index + 3] ~= plainWrite then return false end
  end
  return true
end

-- Where the same run could be written twice, in two ways, each is read when its turn comes.
local values = areAllPlain() and #KEYS > 0 and call('MGET', unpack(KEYS))
local codes = {}
for index = 1, #KEYS do
  local key, write = KEYS[index], ARGV[index + 3]
  local value = values and values[index] or call('GET', key)
  if write == plainWrite and value and sub(value, 1, plainBytes) == plainHead then
    finishPlain(key, value)
    codes[index] = 'w'
  else
    codes[index] = finish(key, value, write)
  end
end
sign(base, retentionMs)
return table.concat(codes)
