-- What the other scripts share; it is put before each of them.
--
-- A record is one string value, so that claiming an unknown run is one command:
--
--   state(1) epoch(4) losses(2) failures(2) restarts(2) generation(2) checkpoints(4) leaseUntilMs(8) payloadHash 0 pipelineHash 0 tail
--
-- Numbers are big-endian; `losses` comes first, so that the four bytes that once counted attempts alone read as failures. `state` is r(unning), c (running, and called off), w(aiting), d(one), x (dead) or p(arked), and says what the tail is: the
-- owner's token while running, the outbox when done, else the reason. `checkpoints` counts the checkpoints ever written:
-- while it is 0 there is no hash of steps. That hash has one field a step; its value is the number of the checkpoint (4), the
-- time of writing (8, in milliseconds), and what the client packed.
--
-- What brought a run back after it was given up, and its deaths, are a list of JSON texts, the oldest first, whose last ones are
-- kept. There is one once a run has died.
--
-- Every write gives the record, and the hash and the list where there are any, its full time to live again (but for finish.lua, under a lease that
-- is short beside it: then the record keeps its end). A finish says when it was done in place of the lease's end. Their keys are made
-- from the record's key and shares its hash tag, so they lie in the same slot.

local headerBytes = 25
local checkpointsAt = 14
-- A count stops here.
local countMax = 65535

-- The second's part of a script's time, in microseconds, is as good as drawn by lot.
local scriptMs, lot

-- One time for all of a script.
local function nowMs()
  if not scriptMs then
    local time = redis.call('TIME')
    lot = tonumber(time[2])
    scriptMs = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return scriptMs
end

-- The sentinel is its id, then, after a semicolon each, when it was planted and when records were last lost, in milliseconds.
local function sentinelParts(sentinel)
  return sentinel:match('^([^;]*);?([^;]*);?([^;]*)$')
end

local function sentinelOf(id, plantedMs, lostMs)
  return id .. ';' .. plantedMs .. ';' .. lostMs
end

-- The value as its fields.
local function decode(value)
  local payloadEnd = value:find('\0', headerBytes + 1, true)
  local pipelineEnd = value:find('\0', payloadEnd + 1, true)
  local epoch, losses, failures, restarts, generation, checkpoints, leaseUntilMs = struct.unpack('>I4I2I2I2I2I4d', value, 2)
  return {
    state = value:sub(1, 1),
    epoch = epoch,
    failures = failures,
    losses = losses,
    restarts = restarts,
    generation = generation,
    checkpoints = checkpoints,
    leaseUntilMs = leaseUntilMs,
    payloadHash = value:sub(headerBytes + 1, payloadEnd - 1),
    pipelineHash = value:sub(payloadEnd + 1, pipelineEnd - 1),
    tail = value:sub(pipelineEnd + 1),
  }
end

local function encode(record)
  return record.state
    .. struct.pack('>I4I2I2I2I2I4d', record.epoch, math.min(record.losses, countMax), math.min(record.failures, countMax), math.min(record.restarts, countMax), math.min(record.generation, countMax), record.checkpoints, record.leaseUntilMs)
    .. record.payloadHash .. '\0' .. record.pipelineHash .. '\0' .. record.tail
end

-- Entries of a history that are kept.
local historyMax = 20

-- Record keys begin with `base` and 'r:', keys of steps with `base` and 's:', keys of histories with `base` and 'h:'.
local function historyKey(base, key)
  return base .. 'h:' .. key:sub(#base + 3)
end

local function historyOf(base, key)
  return redis.call('LRANGE', historyKey(base, key), 0, -1)
end

local function note(base, key, entry, retentionMs)
  local list = historyKey(base, key)
  redis.call('RPUSH', list, entry)
  redis.call('LTRIM', list, -historyMax, -1)
  redis.call('PEXPIRE', list, retentionMs)
end

-- Claims that ended without success, as JSON, of which the last ones are kept; it lives as long as its last entry.
local setbacksMax = 20

local function setbacksKey(base, key)
  return base .. 't:' .. key:sub(#base + 3)
end

local answersMember = ',"answers":{'

local function forgetAnswers(list)
  local kept = {}
  local isChanged = false
  for _, setback in ipairs(redis.call('LRANGE', list, 0, -1)) do
    local from = setback:find(answersMember, 1, true)
    if from then isChanged = true end
    table.insert(kept, from and setback:sub(1, from - 1) .. '}' or setback)
  end
  if not isChanged then return end
  redis.call('DEL', list)
  redis.call('RPUSH', list, unpack(kept))
end

-- `setback` is a JSON object, which gets its time. Of those with answers of calls, always their last member, a record keeps the last one's.
local function addSetback(base, key, setback, atMs, retentionMs)
  local list = setbacksKey(base, key)
  if setback:find(answersMember, 1, true) then forgetAnswers(list) end
  redis.call('RPUSH', list, '{"atMs":' .. string.format('%.0f', atMs) .. ',' .. setback:sub(2))
  redis.call('LTRIM', list, -setbacksMax, -1)
  redis.call('PEXPIRE', list, retentionMs)
end

local function stepsKey(base, key)
  return base .. 's:' .. key:sub(#base + 3)
end

local function stepsOf(base, key, record)
  if record.checkpoints == 0 then return {} end
  return redis.call('HGETALL', stepsKey(base, key))
end

-- Whoever writes signs: the last three arguments, or those from `at` on, are its name, the number of this call among its own, and the number of the last
-- of them that was acknowledged. A server that has this last one has every write before it, whoever made it; on one that has
-- not, nothing is signed until that is noted in the sentinel.
local function signatureOf(base, at)
  return tonumber(redis.call('GET', base .. 'w:' .. ARGV[at or #ARGV - 2]) or '0')
end

local function setSignature(base, retentionMs, at)
  at = at or #ARGV - 2
  redis.call('SET', base .. 'w:' .. ARGV[at], ARGV[at + 1], 'PX', retentionMs)
end

local function sign(base, retentionMs, at)
  at = at or #ARGV - 2
  local signed = signatureOf(base, at)
  if signed >= tonumber(ARGV[at + 2]) and tonumber(ARGV[at + 1]) > signed then setSignature(base, retentionMs, at) end
end

-- What is to become of a run that was called off while a worker had it: a hash of the history entry of its death, and the step that has
-- it compensated.
local function cancelKey(base, key)
  return base .. 'k:' .. key:sub(#base + 3)
end

-- Ends a run that was called off, or leaves it to who claims it next to be compensated. The caller puts the record.
local function cancel(base, key, record, nowMs, retentionMs)
  local parts = redis.call('HGETALL', cancelKey(base, key))
  local cancellation = {}
  for index = 1, #parts, 2 do cancellation[parts[index]] = parts[index + 1] end
  redis.call('DEL', cancelKey(base, key))
  record.tail = 'Cancelled'
  if cancellation.step and cancellation.step ~= '' and record.checkpoints > 0 then
    record.checkpoints = record.checkpoints + 1
    redis.call('HSET', stepsKey(base, key), '~failed', struct.pack('>I4d', record.checkpoints, nowMs) .. cancellation.step)
    record.state = 'w'
  else
    record.state = 'x'
    if cancellation.death then note(base, key, cancellation.death, retentionMs) end
  end
end
