-- Claims runs in the compact layout (see places.lua), in order; makes it compact where it is not yet.
-- KEYS[1]  sentinel
-- ARGV[1] ... ARGV[5]  as of claim.lua
-- ARGV[6]  the runs, each: hash (4), worker (1) and pipeline (1) among the names that follow, from 0, lengths of field (1) and rest (1), the field,
--          and the rest of its value (payload and what follows the worker in its token); a run without a field is one of the odd ones
-- ARGV[7]  number of names, which follow
-- then     eventId and request (as of claim.lua) of each odd run: one whose id or token is too long for a field
-- and at last three arguments to sign with (see record.lua)
-- Returns what claim.lua does

local sub = string.sub

if not bucketsOf(base) then
  local plainUntil = isPlanted and '' or ';' .. string.format('%.0f', now + retentionMs)
  call('SET', base .. 'buckets', '1' .. plainUntil)
  setBuckets(1, isPlanted and 0 or now + retentionMs)
end
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

local codes, blob, odd, position, count, fresh = {}, ARGV[6], 8 + names, 1, 0, 0
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
      prolong(bucket, retentionMs)
      codes[count] = 'n'
      fresh = fresh + 1
      if isPlainLeft then
        local key = base .. 'r:' .. idOf(field)
        local text = call('GET', key)
        if text then
          places[key] = { bucket = bucket, field = field, form = 'L' }
          call('HSET', bucket, field, 'L')
          codes[count] = claimKnown(key, decode(text), requestOf(worker, pipeline, rest))
        end
      end
    else
      local key = base .. 'r:' .. idOf(field)
      places[key] = { bucket = bucket, field = field }
      codes[count] = claimAny(key, requestOf(worker, pipeline, rest))
    end
  end
end

grow(fresh)
signBy(sentinel, known, base, retentionMs)
reply[2] = table.concat(codes)
return reply
