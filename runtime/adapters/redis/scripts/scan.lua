-- Tells of the records that are met in a part of the buckets, and behind the last in a part of the keyspace; writes nothing. A record
-- that moves meanwhile goes to where the scan has not been: to a bucket behind, or to a key.
-- KEYS[1]  any key under the tag, so that the node that holds it answers
-- ARGV[1]  base of the keys
-- ARGV[2]  cursor, '0' at first: 'b' and a number for buckets, then that of Redis
-- ARGV[3]  keys to look at
-- ARGV[4]  letters of the states that are wanted
-- Returns { cursor to go on with, '0' at the end, { run, ... } }; a run is { eventId, state, epoch, failures, losses, generation,
-- restarts, pipelineHash, payloadHash, token or reason, what is left of the lease and of the record's time to live, in
-- milliseconds, number of steps, bytes of the outbox }

local base, states = ARGV[1], ARGV[4]
local bucketsPerLook = 6
local now = nowMs()
local runs = {}

local function tell(key, record)
  if not record or not states:find(record.state, 1, true) then return end
  local isDone = record.state == 'd'
  runs[#runs + 1] = {
    key:sub(#base + 3), record.state, record.epoch, record.failures, record.losses, record.generation, record.restarts,
    record.pipelineHash, record.payloadHash, isDone and '' or record.tail, record.leaseUntilMs - now, lifeOf(key, record),
    record.checkpoints > 0 and redis.call('HLEN', stepsKey(base, key)) or 0, isDone and #record.tail or 0,
  }
end

local bucket = tonumber(ARGV[2]:match('^b(%d+)$') or (ARGV[2] == '0' and '0' or nil))
if bucket and bucketsOf(base) then
  local last = math.min(bucket + bucketsPerLook, knownBuckets.count)
  for number = bucket, last - 1 do
    for _, field in ipairs(redis.call('HKEYS', base .. 'b:' .. number)) do
      local key = base .. 'r:' .. idOf(field)
      local record = recordOf(base, key)
      -- What lies under its own key is met there.
      if places[key].form ~= 'L' then tell(key, record) end
    end
  end
  return { last < knownBuckets.count and 'b' .. last or 'k0', runs }
end

local cursor = ARGV[2]:match('^k(%d+)$') or '0'
local found = redis.call('SCAN', cursor, 'MATCH', base .. 'r:*', 'COUNT', ARGV[3])
for _, key in ipairs(found[2]) do
  -- The state alone, unless it is wanted: an outbox may be large.
  if states:find(redis.call('GETRANGE', key, 0, 0), 1, true) then
    local record = recordOf(base, key)
    if not places[key] or places[key].form ~= 'E' then tell(key, record) end
  end
end
return { found[1] == '0' and '0' or 'k' .. found[1], runs }
