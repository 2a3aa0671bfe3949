-- Reads one run, the record and its steps of one moment.
-- KEYS[1]  record
-- ARGV[1]  base of the keys
-- Returns nothing of an unknown run, else { state, epoch, failures, losses, generation, restarts,
-- pipelineHash, { step name, step, ... }, tail, { history entry, ... }, payloadHash, what is left of the lease and of the record's
-- time to live, in milliseconds, { setback, ... } }

local record = recordOf(ARGV[1], KEYS[1])
if not record then return false end
return {
  record.state, record.epoch, record.failures, record.losses, record.generation, record.restarts, record.pipelineHash,
  stepsOf(ARGV[1], KEYS[1], record), record.tail, historyOf(ARGV[1], KEYS[1]),
  record.payloadHash, record.leaseUntilMs - nowMs(), lifeOf(KEYS[1], record),
  redis.call('LRANGE', setbacksKey(ARGV[1], KEYS[1]), 0, -1),
}
