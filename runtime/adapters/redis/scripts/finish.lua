-- Marks runs done with their outbox.
-- KEYS[i]    record of the i-th run
-- ARGV[1]    retention, milliseconds
-- ARGV[2]    base of the keys
-- ARGV[2+i]  the epoch in decimal; with an outbox ':' and the outbox follow
-- and at last three arguments to sign with (see record.lua)
-- Returns one character a run: w (written, also when it was written before) or s (stale)

local retentionMs, base = ARGV[1], ARGV[2]
local call, byte, find, sub = redis.call, string.byte, string.find, string.sub

-- State and epoch as a record begins with them while it may be finished; by the write that asks for it, as most are alike.
local running = {}

local function startOf(epoch)
  return 'r' .. struct.pack('>I4', epoch)
end

local codes = {}
for index = 1, #KEYS do
  local key, write, outbox = KEYS[index], ARGV[index + 2], ''
  local start = running[write]
  if not start then
    local colon = find(write, ':', 1, true)
    if colon then
      start, outbox = startOf(tonumber(sub(write, 1, colon - 1))), sub(write, colon + 1)
    else
      start = startOf(tonumber(write))
      running[write] = start
    end
  end
  -- The record is not decoded: nearly every run passes here.
  local value = call('GET', key)
  local head = value and sub(value, 1, 5)
  -- One that is called off and comes to its end all the same is done.
  if head and (head == start or head == 'c' .. sub(start, 2)) then
    local pipelineEnd = find(value, '\0', find(value, '\0', headerBytes + 1, true) + 1, true)
    call('SET', key, 'd' .. sub(value, 2, pipelineEnd) .. outbox, 'PX', retentionMs)
    local restarts, restart, generations, generation, one, two, three, four = byte(value, 10, 17)
    if one + two + three + four > 0 then call('PEXPIRE', stepsKey(base, key), retentionMs) end
    if restarts + restart + generations + generation > 0 then call('PEXPIRE', historyKey(base, key), retentionMs) end
    codes[index] = 'w'
  elseif head == 'd' .. sub(start, 2) then
    codes[index] = 'w'
  else
    codes[index] = 's'
  end
end
sign(base, retentionMs)
return table.concat(codes)
