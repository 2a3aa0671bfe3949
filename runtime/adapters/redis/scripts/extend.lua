-- Makes leases last from now.
-- KEYS[i]    record of the i-th run
-- ARGV[1]    retention, milliseconds
-- ARGV[2]    base of the keys
-- ARGV[3]    lease, milliseconds
-- ARGV[3+i]  epoch
-- and at last three arguments to sign with (see record.lua)
-- Returns one character a run: w (written), c (written, and the run is called off) or s (stale)

local retentionMs, base = ARGV[1], ARGV[2]
local leaseUntilMs = nowMs() + tonumber(ARGV[3])

local function extend(key, epoch)
  local record = recordOf(base, key)
  if not record then return 's' end
  if (record.state ~= 'r' and record.state ~= 'c') or record.epoch ~= epoch then return 's' end
  record.leaseUntilMs = leaseUntilMs
  put(base, key, record, retentionMs)
  return record.state == 'c' and 'c' or 'w'
end

local codes = {}
for index = 1, #KEYS do
  codes[index] = extend(KEYS[index], tonumber(ARGV[index + 3]))
end
sign(base, retentionMs)
return table.concat(codes)
