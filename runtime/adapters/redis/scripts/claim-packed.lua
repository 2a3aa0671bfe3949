-- Claims runs in the compact layout (see places.lua), in order; makes it compact where it is not yet.
-- KEYS[1]  sentinel
-- ARGV[1] ... ARGV[5]  as of claim.lua
-- ARGV[6]  the runs, each: hash (4), worker (1) and pipeline (1) among the names that follow, from 0, lengths of field (1) and rest (1), the field,
--          and the rest of its value (payload and what follows the worker in its token); a run without a field is one of the odd ones
-- ARGV[7]  number of names, which follow
-- then     eventId and request (as of claim.lua) of each odd run: one whose id or token is too long for a field
-- and at last three arguments to sign with (see record.lua)
-- Returns what claim.lua does

-- As many records as there are, on average, in a bucket; one that is to be split has up to twice as many. Redis keeps no listpack of more than a few times that.
local recordsWanted = 30
-- One that hashes alike have made this large is left as it is: to go through it would keep Redis from its other clients.
local tidiedRecordsMax = 4000
-- So many of its records tell whether some are past their retention.
local lookedAt = 4
-- One record in so many looks how many are there. A prime, so that claims that come at even intervals are not always the ones, or never.
local lookEvery = 17
-- Of one call: what it may take longer by is bounded.
local samplesMax = 16

local call, sub, byte, unpackStruct = redis.call, string.sub, string.byte, struct.unpack

if not bucketsOf(base) then
  local plainUntil = isPlanted and '' or ';' .. string.format('%.0f', now + retentionMs)
  call('SET', base .. 'buckets', '1' .. plainUntil)
  setBuckets(1, isPlanted and 0 or now + retentionMs)
end
local bucketLifeMs = 2 * retentionMs
-- To read an end of life costs less than to set it, and is not sent to replicas.
local bucketLifeLeastMs = 1.5 * retentionMs
local isPlainLeft = knownBuckets.plainUntilMs > now
local times = struct.pack('>I6I6', now + leaseMs, now + retentionMs)
local names, numbers, heads = tonumber(ARGV[7]), {}, {}

local function numberOf(index)
  if not numbers[index] then numbers[index] = struct.pack('>I2', intern(base, ARGV[8 + index])) end
  return numbers[index]
end

local function headOf(worker, pipeline)
  local both = worker * 256 + pipeline
  if not heads[both] then heads[both] = 'r' .. times .. numberOf(worker) .. numberOf(pipeline) end
  return heads[both]
end

local function requestOf(worker, pipeline, rest)
  local payloadHash, hashEnd = payloadAt(rest, 1, 20)
  return payloadHash .. '\0' .. ARGV[8 + pipeline] .. '\0' .. ARGV[8 + worker] .. sub(rest, hashEnd + 1)
end

local samples = {}
local codes, blob, odd, position, count = {}, ARGV[6], 8 + names, 1, 0
local blobEnd = #blob
while position < blobEnd do
  local hash, worker, pipeline, fieldBytes, restBytes = unpackStruct('>I4BBBB', blob, position)
  position = position + 8
  count = count + 1
  if fieldBytes == 0 then
    codes[count] = claimAny(base .. 'r:' .. ARGV[odd], ARGV[odd + 1])
    odd = odd + 2
  else
    local restAt = position + fieldBytes
    local field, rest = sub(blob, position, restAt - 1), sub(blob, restAt, restAt + restBytes - 1)
    position = restAt + restBytes
    local bucket = bucketKey(base, hash)
    if call('HSETNX', bucket, field, headOf(worker, pipeline) .. rest) == 1 then
      if call('PTTL', bucket) < bucketLifeLeastMs then call('PEXPIRE', bucket, bucketLifeMs) end
      codes[count] = 'n'
      if isPlainLeft then
        local key = base .. 'r:' .. idOf(field)
        local text = call('GET', key)
        if text then
          places[key] = { bucket = bucket, field = field, form = 'L' }
          call('HSET', bucket, field, 'L')
          codes[count] = claimKnown(key, decode(text), requestOf(worker, pipeline, rest))
        end
      end
      -- Not by its hash: ids that are made of the time have the same part of it for long.
      if (count + now) % lookEvery == 0 and #samples < samplesMax then samples[#samples + 1] = hash end
    else
      local key = base .. 'r:' .. idOf(field)
      places[key] = { bucket = bucket, field = field }
      codes[count] = claimAny(key, requestOf(worker, pipeline, rest))
    end
  end
end

-- What is past its retention is left out.
local function isLeft(field, value)
  local form = byte(value)
  if form == 76 then return call('EXISTS', base .. 'r:' .. idOf(field)) == 1 end
  return unpackStruct('>I6', value, form == 114 and 8 or 2) > now
end

-- Rebuilt, so that it is a listpack again where it had become too large for one.
local function fillBucket(bucket, pairsOfIt)
  call('DEL', bucket)
  for first = 1, #pairsOfIt, 1000 do call('HSET', bucket, unpack(pairsOfIt, first, math.min(first + 999, #pairsOfIt))) end
  if #pairsOfIt > 0 then call('PEXPIRE', bucket, bucketLifeMs) end
end

local function leftOf(bucket)
  local all, left = call('HGETALL', bucket), {}
  for index = 1, #all, 2 do
    if isLeft(all[index], all[index + 1]) then
      left[#left + 1] = all[index]
      left[#left + 1] = all[index + 1]
    end
  end
  return left
end

-- The next bucket comes to be, and gets its share of the one that had it.
local function split()
  local target = knownBuckets.count
  local source = base .. 'b:' .. target - knownBuckets.lower
  local stay, go = {}, leftOf(base .. 'b:' .. target)
  local all, upper, stays, goes = call('HGETALL', source), knownBuckets.upper, 0, #go
  for index = 1, #all, 2 do
    local field, value = all[index], all[index + 1]
    if isLeft(field, value) then
      if hashOf(field) % upper == target then
        go[goes + 1], go[goes + 2] = field, value
        goes = goes + 2
      else
        stay[stays + 1], stay[stays + 2] = field, value
        stays = stays + 2
      end
    end
  end
  fillBucket(source, stay)
  fillBucket(base .. 'b:' .. target, go)
  setBuckets(target + 1, knownBuckets.plainUntilMs)
end

-- Some of its records are past their retention, or it is not known.
local function hasExpired(bucket)
  local found = redis.pcall('HRANDFIELD', bucket, lookedAt, 'WITHVALUES')
  if found.err then return true end
  for index = 1, #found, 2 do
    if not isLeft(found[index], found[index + 1]) then return true end
  end
  return false
end

-- Of the buckets that were looked at: their records, and what part of all they stand for. One that is not split yet stands for two.
local records, slots, upper = 0, 0, knownBuckets.upper

-- Records and buckets of all that are looked at tell how many there are in all, and so how many buckets are missing.
local function missing()
  return math.ceil(records / slots * upper / recordsWanted) - knownBuckets.count
end

local seen, seenBuckets, hits = {}, {}, 0
for index = 1, #samples do
  local bucket = bucketKey(base, samples[index])
  local length = seenBuckets[bucket] or call('HLEN', bucket)
  if length < tidiedRecordsMax then hits = hits + 1 end
  if length < tidiedRecordsMax and not seenBuckets[bucket] then
    local number = tonumber(sub(bucket, #base + 3))
    local isSplit = number >= knownBuckets.lower or number < knownBuckets.count - knownBuckets.lower
    records, slots = records + length, slots + (isSplit and 1 or 2)
    seen[#seen + 1] = bucket
  end
  seenBuckets[bucket] = length
end

-- Buckets come to be one by one, as records do, so that no claim pays for many: one record in `lookEvery` is looked at, and one in `recordsWanted` needs a bucket more.
-- All that were looked at are gone through before any comes to be: what is past its retention needs none.
local countBefore = knownBuckets.count
if hits > 0 and missing() > 0 then
  for index = 1, #seen do
    local bucket = seen[index]
    if hasExpired(bucket) then
      local left = leftOf(bucket)
      fillBucket(bucket, left)
      records = records - seenBuckets[bucket] + #left / 2
    end
  end
  for _ = 1, math.min(hits, missing()) do split() end
end
if knownBuckets.count > countBefore then
  local plainUntil = isPlainLeft and ';' .. string.format('%.0f', knownBuckets.plainUntilMs) or ''
  call('SET', base .. 'buckets', knownBuckets.count .. plainUntil)
end

signBy(sentinel, known, base, retentionMs)
reply[2] = table.concat(codes)
return reply
