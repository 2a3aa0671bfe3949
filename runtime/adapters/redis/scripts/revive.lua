-- Brings back runs that were given up, in order.
-- KEYS[i]    record of the i-th run
-- ARGV[1]    retention, milliseconds
-- ARGV[2]    base of the keys
-- ARGV[2+i]  JSON: { epoch (of the caller's claim, or 0), enqueuedAtMs (a resend's) or order (a replay's: { id, payloadHash }),
--            entry (for the history; its time and generation are filled in here) }
-- and at last three arguments to sign with (see record.lua)
-- Returns one character a run: v (revived) or n (refused)

local retentionMs, base = ARGV[1], ARGV[2]
local now = nowMs()

-- Whether what is known of the run lets this bring it back.
local function isDue(request, entries)
  local diedAtMs
  for _, text in ipairs(entries) do
    -- What cannot be read is left out: a record is worth more than a note on it.
    local isReadable, entry = pcall(cjson.decode, text)
    if isReadable then
      if request.order and entry.replayId == request.order.id then return false end
      if entry.kind == 'died' then diedAtMs = entry.atMs end
    end
  end
  return request.order ~= nil or (diedAtMs ~= nil and request.enqueuedAtMs > diedAtMs)
end

local function forgetSteps(key, record)
  redis.call('DEL', stepsKey(base, key))
  record.checkpoints = 0
end

-- Forgets that these steps may have begun: `intent` is state 0, behind the stamp and the kind.
local function forgetIntents(key, record)
  local steps = stepsOf(base, key, record)
  for index = 1, #steps, 2 do
    if steps[index + 1]:byte(14) == 0 then redis.call('HDEL', stepsKey(base, key), steps[index]) end
  end
end

local function revive(key, request)
  local record = recordOf(base, key)
  if not record then return 'n' end
  local isGivenUp = record.state == 'x' or record.state == 'p'
  local isHeld = request.order ~= nil and record.state == 'r' and request.epoch > 0 and record.epoch == request.epoch
  if not (isGivenUp or isHeld) then return 'n' end
  if not isDue(request, historyOf(base, key)) then return 'n' end
  local entry = request.entry
  if request.order then
    if record.payloadHash ~= request.order.payloadHash and not entry.patched then return 'n' end
    record.payloadHash = request.order.payloadHash
  end
  if entry.from == 'start' then
    forgetSteps(key, record)
    record.restarts = record.restarts + 1
  elseif entry.repeatsInDoubt then
    forgetIntents(key, record)
  end
  record.generation = record.generation + 1
  record.failures = 0
  record.losses = 0
  if isGivenUp then
    record.state = 'w'
    record.tail = 'revived'
  end
  put(base, key, record, retentionMs)
  entry.atMs = now
  entry.generation = record.generation
  note(base, key, cjson.encode(entry), retentionMs)
  return 'v'
end

local codes = {}
for index = 1, #KEYS do
  codes[index] = revive(KEYS[index], cjson.decode(ARGV[index + 2]))
end
sign(base, retentionMs)
return table.concat(codes)
