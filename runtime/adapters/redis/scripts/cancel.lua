-- Calls a run off: one that nobody has ends here, one that a worker has learns it with its next write.
-- KEYS[1]  record
-- ARGV[1]  retention, milliseconds
-- ARGV[2]  base of the keys
-- ARGV[3]  history entry, a JSON object, which gets its time
-- ARGV[4]  what the record's end is to say: history entry of the death, which gets its time
-- ARGV[5]  step as packed by the client, that has the run compensated where there are steps, or nothing
-- ARGV[6]  how much later than now the death is, milliseconds
-- Returns u (unknown), d (done), x (given up), w (ended here; compensated by who claims it next) or c (its worker learns it)

local retentionMs, base, key = ARGV[1], ARGV[2], KEYS[1]
local record = recordOf(base, key)
if not record then return 'u' end
if record.state == 'd' then return 'd' end
if record.state == 'x' or record.state == 'p' then return 'x' end
local now = nowMs()
local death = cjson.decode(ARGV[4])
death.atMs = now + tonumber(ARGV[6])
redis.call('HSET', cancelKey(base, key), 'death', cjson.encode(death), 'step', ARGV[5])
redis.call('PEXPIRE', cancelKey(base, key), retentionMs)
note(base, key, '{"atMs":' .. string.format('%.0f', now) .. ',' .. ARGV[3]:sub(2), retentionMs)
if record.state == 'w' or record.leaseUntilMs <= now then
  cancel(base, key, record, now, retentionMs)
  put(base, key, record, retentionMs)
  return 'w'
end
record.state = 'c'
put(base, key, record, retentionMs)
return 'c'
