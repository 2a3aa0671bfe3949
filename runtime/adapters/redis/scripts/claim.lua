-- Claims runs, in order; also asked without any, to plant or read the sentinel.
-- KEYS[1]    sentinel
-- KEYS[1+i]  record of the i-th run
-- ARGV[1]    the sentinel's value as the client knows it
-- ARGV[2]    value for the sentinel if there is none
-- ARGV[3]    lease, milliseconds
-- ARGV[4]    retention, milliseconds
-- ARGV[5]    base of the keys: record keys are base .. 'r:' .. eventId
-- ARGV[5+i]  payloadHash 0 pipelineHash 0 token
-- and at last three arguments to sign with (see record.lua)
-- Returns { sentinel's value, codes, detail, ... }: the value is empty when it is the known one, else the server's time follows it
-- after a space. Whoever knows another sentinel than the one that is there, or misses its signature, knows of a loss, and notes it in
-- the sentinel, so that every worker hears of it with its next claim. One code a run: n (acquired, new)
-- u (reused) without a detail; a (acquired) { epoch, failures, losses, generation, restarts, pipelineHash, { step name, step, ... } }, h (held)
-- milliseconds, d (done) outbox, x (dead) { reason, { history entry, ... } }, whose details follow in the order of their runs

local base = ARGV[5]
local leaseMs, retentionMs = tonumber(ARGV[3]), ARGV[4]
local now = nowMs()
local newHeader = 'r' .. struct.pack('>I4I2I2I2I2I4d', 1, 0, 0, 0, 0, 0, now + leaseMs)

local sentinel = redis.call('GET', KEYS[1])
local known = ARGV[1]
if not sentinel then
  sentinel = known == '' and ARGV[2] .. ';' .. now or sentinelOf(ARGV[2], now, now)
  redis.call('SET', KEYS[1], sentinel)
elseif sentinel ~= known and known ~= '' then
  local id, planted, lost = sentinelParts(sentinel)
  if lost == '' and id ~= sentinelParts(known) then
    if planted == '' then planted = now end
    sentinel = sentinelOf(id, planted, planted)
    redis.call('SET', KEYS[1], sentinel)
  end
end
-- The server has lost what the client was told to have written.
if sentinel == known and signatureOf(base) < tonumber(ARGV[#ARGV]) then
  local id, planted = sentinelParts(sentinel)
  sentinel = sentinelOf(id, planted == '' and now or planted, now)
  redis.call('SET', KEYS[1], sentinel)
end
local reply = { sentinel == known and '' or sentinel .. ' ' .. now, '' }

local function acquired(key, record)
  record.leaseUntilMs = now + leaseMs
  put(base, key, record, retentionMs)
  reply[#reply + 1] = { record.epoch, record.failures, record.losses, record.generation, record.restarts, record.pipelineHash, stepsOf(base, key, record) }
  return 'a'
end

local function claimKnown(key, request)
  local record = decode(redis.call('GET', key))
  local payloadEnd = request:find('\0', 1, true)
  local pipelineEnd = request:find('\0', payloadEnd + 1, true)
  if request:sub(1, payloadEnd - 1) ~= record.payloadHash then return 'u' end
  if record.state == 'd' then
    reply[#reply + 1] = record.tail
    return 'd'
  end
  local isLapsed = (record.state == 'r' or record.state == 'c') and record.leaseUntilMs <= now
  -- A lease that nobody gave back: whoever held it ended, and with it what it executed.
  if isLapsed then record.losses = record.losses + 1 end
  if isLapsed and record.state == 'c' then
    cancel(base, key, record, now, retentionMs)
    put(base, key, record, retentionMs)
  end
  if record.state == 'x' or record.state == 'p' then
    reply[#reply + 1] = { record.tail, historyOf(base, key) }
    return 'x'
  end
  local token = request:sub(pipelineEnd + 1)
  if record.state == 'c' or (record.state == 'r' and not isLapsed) then
    if record.tail == token then return acquired(key, record) end
    reply[#reply + 1] = record.leaseUntilMs - now
    return 'h'
  end
  record.state = 'r'
  record.tail = token
  record.epoch = record.epoch + 1
  if record.checkpoints == 0 then record.pipelineHash = request:sub(payloadEnd + 1, pipelineEnd - 1) end
  return acquired(key, record)
end

local codes = {}
for index = 2, #KEYS do
  local key, request = KEYS[index], ARGV[index + 4]
  if redis.call('SET', key, newHeader .. request, 'PX', retentionMs, 'NX') then
    codes[index - 1] = 'n'
  else
    codes[index - 1] = claimKnown(key, request)
  end
end
if sentinel == known then sign(base, retentionMs) else setSignature(base, ARGV[#ARGV - 1], retentionMs) end
reply[2] = table.concat(codes)
return reply
