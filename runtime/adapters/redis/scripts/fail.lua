-- Ends claims without success.
-- KEYS[i]    record of the i-th run
-- ARGV[1]    retention, milliseconds
-- ARGV[2]    base of the keys
-- ARGV[7i-4] ... ARGV[7i+2]  epoch, new state (w, x or p), failures to add, losses to add, reason, history entry or nothing, setback
-- (a JSON object) or nothing
-- and at last three arguments to sign with (see record.lua)
-- Returns one character a run: w (written, also when it was written before) or s (stale)

local retentionMs, base = ARGV[1], ARGV[2]
local now = nowMs()

local function fail(key, epoch, state, failures, losses, reason, death, setback)
  local record = recordOf(base, key)
  if not record then return 's' end
  if record.epoch ~= epoch then return 's' end
  if record.state == state or (state == 'w' and record.state == 'x' and record.tail == 'Cancelled') then return 'w' end
  if record.state ~= 'r' and record.state ~= 'c' then return 's' end
  local isCancelled = record.state == 'c' and state == 'w'
  record.state = state
  record.failures = record.failures + failures
  record.losses = record.losses + losses
  record.tail = reason
  if isCancelled then cancel(base, key, record, now, retentionMs) end
  put(base, key, record, retentionMs)
  if death ~= '' then note(base, key, death, retentionMs) end
  if setback ~= '' then addSetback(base, key, setback, now, retentionMs) end
  return 'w'
end

local codes = {}
for index = 1, #KEYS do
  local at = 7 * index - 4
  codes[index] = fail(KEYS[index], tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4], ARGV[at + 5], ARGV[at + 6])
end
sign(base, retentionMs)
return table.concat(codes)
