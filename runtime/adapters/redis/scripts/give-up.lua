-- Gives a run up that nobody has, as it was seen.
-- KEYS[1]  record
-- ARGV[1]  retention, milliseconds
-- ARGV[2]  base of the keys
-- ARGV[3]  epoch of the run as it was seen
-- ARGV[4]  reason
-- ARGV[5]  history entry of its death, a JSON object, which gets its time
-- ARGV[6]  how much later than now the death is, milliseconds
-- ARGV[7]  history entry that says who did it and why, which gets its time
-- Returns u (unknown), m (moved: it has ended, or was claimed since) or x (given up)

local retentionMs, base, key = ARGV[1], ARGV[2], KEYS[1]
local record = recordOf(base, key)
if not record then return 'u' end
local now = nowMs()
local isHeld = (record.state == 'r' or record.state == 'c') and record.leaseUntilMs > now
local isLive = record.state == 'w' or record.state == 'r' or record.state == 'c'
if not isLive or isHeld or record.epoch ~= tonumber(ARGV[3]) then return 'm' end
local function timed(entry, atMs)
  return '{"atMs":' .. string.format('%.0f', atMs) .. ',' .. entry:sub(2)
end
redis.call('DEL', cancelKey(base, key))
-- Whoever had it, and comes to itself, finds that it is another's.
record.epoch = record.epoch + 1
record.state = 'x'
record.tail = ARGV[4]
put(base, key, record, retentionMs)
note(base, key, timed(ARGV[5], now + tonumber(ARGV[6])), retentionMs)
note(base, key, timed(ARGV[7], now), retentionMs)
return 'x'
