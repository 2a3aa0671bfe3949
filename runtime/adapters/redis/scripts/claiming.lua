-- What both ways to claim share: the sentinel, and runs that are known. Arguments are those of claim.lua; put behind places.lua.

local base = ARGV[5]
local leaseMs, retentionMs = tonumber(ARGV[3]), ARGV[4]
local now = nowMs()

local known = ARGV[1]
local sentinel, isPlanted = meetSentinel(KEYS[1], base, known, ARGV[2], now)
local reply = { sentinel == known and '' or sentinel .. ' ' .. now, '' }

local function acquired(key, record)
  record.leaseUntilMs = now + leaseMs
  put(base, key, record, retentionMs)
  reply[#reply + 1] = { record.epoch, record.failures, record.losses, record.generation, record.restarts, record.pipelineHash, stepsOf(base, key, record) }
  return 'a'
end

local function claimKnown(key, record, request)
  local payloadEnd = request:find('\0', 1, true)
  local pipelineEnd = request:find('\0', payloadEnd + 1, true)
  if not isSamePayload(record, request:sub(1, payloadEnd - 1)) then return 'u' end
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

-- Under its own key, wherever the record of an unknown run belongs.
local function claimAny(key, request)
  local record = recordOf(base, key)
  if record then return claimKnown(key, record, request) end
  local payloadEnd = request:find('\0', 1, true)
  local pipelineEnd = request:find('\0', payloadEnd + 1, true)
  put(base, key, {
    state = 'r', epoch = 1, failures = 0, losses = 0, restarts = 0, generation = 0, checkpoints = 0, leaseUntilMs = now + leaseMs,
    payloadHash = request:sub(1, payloadEnd - 1), pipelineHash = request:sub(payloadEnd + 1, pipelineEnd - 1), tail = request:sub(pipelineEnd + 1),
  }, retentionMs)
  return 'n'
end
