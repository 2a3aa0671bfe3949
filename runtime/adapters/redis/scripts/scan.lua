-- Tells of the records that are met in a part of the keyspace; writes nothing.
-- KEYS[1]  any key under the tag, so that the node that holds it answers
-- ARGV[1]  base of the keys
-- ARGV[2]  cursor, '0' at first
-- ARGV[3]  keys to look at
-- ARGV[4]  letters of the states that are wanted
-- Returns { cursor to go on with, '0' at the end, { run, ... } }; a run is { eventId, state, epoch, failures, losses, generation,
-- restarts, pipelineHash, payloadHash, token or reason, what is left of the lease and of the record's time to live, in
-- milliseconds, number of steps, bytes of the outbox }

local base, states = ARGV[1], ARGV[4]
local found = redis.call('SCAN', ARGV[2], 'MATCH', base .. 'r:*', 'COUNT', ARGV[3])
local now = nowMs()
local runs = {}
for _, key in ipairs(found[2]) do
  -- The state alone, unless it is wanted: an outbox may be large.
  if states:find(redis.call('GETRANGE', key, 0, 0), 1, true) then
    local value = redis.call('GET', key)
    if value and value ~= '' then
      local record = decode(value)
      local isDone = record.state == 'd'
      runs[#runs + 1] = {
        key:sub(#base + 3), record.state, record.epoch, record.failures, record.losses, record.generation, record.restarts,
        record.pipelineHash, record.payloadHash, isDone and '' or record.tail, record.leaseUntilMs - now, redis.call('PTTL', key),
        record.checkpoints > 0 and redis.call('HLEN', stepsKey(base, key)) or 0, isDone and #record.tail or 0,
      }
    end
  end
end
return { found[1], runs }
