-- Claims runs in the plain layout, in order; also asked without any, to plant or read the sentinel.
-- KEYS[1]    sentinel
-- KEYS[1+i]  record of the i-th run
-- ARGV[1]    the sentinel's value as the client knows it
-- ARGV[2]    value for the sentinel if there is none
-- ARGV[3]    lease, milliseconds
-- ARGV[4]    retention, milliseconds
-- ARGV[5]    base of the keys: record keys are base .. 'r:' .. eventId
-- ARGV[5+i]  payloadHash 0 pipelineHash 0 token
-- and at last three arguments to sign with (see record.lua)
-- Returns `compact` where the layout is that (see places.lua), and does nothing; else
-- { sentinel's value, codes, detail, ... }: the value is empty when it is the known one, else the server's time follows it
-- after a space. Whoever knows another sentinel than the one that is there, or misses its signature, knows of a loss, and notes it in
-- the sentinel, so that every worker hears of it with its next claim. One code a run: n (acquired, new)
-- u (reused) without a detail; a (acquired) { epoch, failures, losses, generation, restarts, pipelineHash, { step name, step, ... } }, h (held)
-- milliseconds, d (done) outbox, x (dead) { reason, { history entry, ... } }, whose details follow in the order of their runs

if bucketsOf(base) then return 'compact' end

local newHeader = 'r' .. struct.pack('>I4I2I2I2I2I4d', 1, 0, 0, 0, 0, 0, now + leaseMs)

local codes = {}
for index = 2, #KEYS do
  local key, request = KEYS[index], ARGV[index + 4]
  if redis.call('SET', key, newHeader .. request, 'PX', retentionMs, 'NX') then
    codes[index - 1] = 'n'
  else
    codes[index - 1] = claimKnown(key, decode(redis.call('GET', key)), request)
  end
end
signBy(sentinel, known, base, retentionMs)
reply[2] = table.concat(codes)
return reply
