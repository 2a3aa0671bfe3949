-- How buckets of the compact layout become more as records do, and lose what is past its retention; put behind claiming.lua.
--
-- With each `recordsALook` new records a bucket is looked at, one after the other and all of them again and again: what is past its retention there is
-- dropped, and how many records are left tells how many buckets are missing. They come to be one by one, so that no claim pays for many. The key `looks`
-- says which bucket is next, and what the last ones held, each look counting for less as others follow. Who writes nothing there, as workers of
-- before, makes no difference to the others.

-- As many records as there are, on average, in a bucket; one that is to be split has up to twice as many. Redis keeps no listpack of more than a few times that.
local recordsWanted = 28
-- A prime, so that of claims that come one by one, at even intervals, not all look, or none.
local recordsALook = 13
-- Of one call: what it may take longer by is bounded. So many looks, so many records that are gone through, and so many buckets that come to be.
local looksMax, goneThroughMax, splitsMax = 48, 2000, 16
-- So many of its records tell whether some of a bucket are past their retention.
local triedRecords = 4
-- A bucket with more is not gone through as a whole; of such a one so many are drawn, and again with the next look where this many of them were past their retention.
local wholeRecordsMax, drawnRecords, manyExpired = 500, 200, 50
-- One with no more was always a listpack.
local listpackRecordsMax = 120
-- One that hashes alike have made this large tells nothing of the others.
local countedRecordsMax = 4000
-- What was seen is of so many looks, and of fewer where there are few buckets and their number grows fast.
local looksKeptMin, looksKeptMax, bucketsALook = 8, 96, 4

local call, byte, unpackStruct = redis.call, string.byte, struct.unpack

-- Not past its retention.
local function isLeft(field, value)
  local form = byte(value)
  if form == 76 then return call('EXISTS', base .. 'r:' .. idOf(field)) == 1 end
  return unpackStruct('>I6', value, form == 114 and 8 or 2) > now
end

-- Of fields and their values, the fields of those that are past their retention.
local function expiredOf(found)
  local expired = {}
  for index = 1, #found, 2 do
    if not isLeft(found[index], found[index + 1]) then expired[#expired + 1] = found[index] end
  end
  return expired
end

-- Built again, so that it is a listpack where it had become too large for one. `lifeMs` is what it had: records of a worker that keeps them for longer may be in it.
local function fillBucket(bucket, entries, lifeMs)
  call('DEL', bucket)
  for first = 1, #entries, 1000 do call('HSET', bucket, unpack(entries, first, math.min(first + 999, #entries))) end
  if #entries > 0 then call('PEXPIRE', bucket, math.max(lifeMs, 2 * retentionMs)) end
end

-- Of fields and their values, what is not past its retention goes to those that stay, and what belongs to the bucket of this number to those that go.
local function part(found, stay, number, go)
  local upper = knownBuckets.upper
  for index = 1, #found, 2 do
    local field, value = found[index], found[index + 1]
    if isLeft(field, value) then
      local entries = number and hashOf(field) % upper == number and go or stay
      local count = #entries
      entries[count + 1], entries[count + 2] = field, value
    end
  end
end

-- Drops what is past its retention, where there is some. Returns how many records are left of so many.
local function tidy(bucket, length)
  local found = redis.pcall('HRANDFIELD', bucket, triedRecords, 'WITHVALUES')
  -- There is no such command, or no right to it.
  local isBlind = found.err ~= nil
  if not isBlind and #expiredOf(found) == 0 then return length end
  if length > wholeRecordsMax then
    if isBlind then return length end
    found = call('HRANDFIELD', bucket, drawnRecords, 'WITHVALUES')
  else
    found = call('HGETALL', bucket)
  end
  if length > listpackRecordsMax and length <= wholeRecordsMax then
    local entries = {}
    part(found, entries)
    if #entries < #found then fillBucket(bucket, entries, call('PTTL', bucket)) end
    return #entries / 2
  end
  local expired = expiredOf(found)
  if #expired > 0 then call('HDEL', bucket, unpack(expired)) end
  return length - #expired
end

-- The next bucket comes to be, and gets its share of the one that had it.
local function split()
  local number = knownBuckets.count
  local source, target = base .. 'b:' .. number - knownBuckets.lower, base .. 'b:' .. number
  local lifeMs = math.max(call('PTTL', source), call('PTTL', target))
  local stay, go = {}, {}
  part(call('HGETALL', target), go)
  part(call('HGETALL', source), stay, number, go)
  fillBucket(source, stay, lifeMs)
  fillBucket(target, go, lifeMs)
  setBuckets(number + 1, knownBuckets.plainUntilMs)
end

-- What the last looks saw: their number, the records, and what part of all buckets they were.
local turn, looks, records, share = 0, 0, 0, 0

-- Returns whether it is done with, and how many records it went through.
local function lookAt(number)
  local bucket = base .. 'b:' .. number
  local length = call('HLEN', bucket)
  local left = length > 0 and tidy(bucket, length) or 0
  if left < countedRecordsMax then
    local isSplit = number >= knownBuckets.lower or number < knownBuckets.count - knownBuckets.lower
    records, share = records + left, share + (isSplit and 1 or 2) / knownBuckets.upper
  end
  return length <= wholeRecordsMax or length - left < manyExpired, math.min(length, wholeRecordsMax)
end

-- After so many new records.
local function grow(fresh)
  local due = math.min(math.floor((fresh + lot % recordsALook) / recordsALook), looksMax)
  if due == 0 then return end
  local key = base .. 'looks'
  local parts = { (call('GET', key) or ''):match('^(%d+);([^;]+);([^;]+);([^;]+)$') }
  if parts[1] then turn, looks, records, share = tonumber(parts[1]), tonumber(parts[2]), tonumber(parts[3]), tonumber(parts[4]) end
  local goneThrough = 0
  for _ = 1, math.min(due, knownBuckets.count) do
    if turn >= knownBuckets.count then turn = 0 end
    local isDone, entries = lookAt(turn)
    if isDone then turn = turn + 1 end
    looks, goneThrough = looks + 1, goneThrough + entries
    if goneThrough >= goneThroughMax then break end
  end
  local missing = share > 0 and math.ceil(records / share / recordsWanted) - knownBuckets.count or 0
  for _ = 1, math.min(missing, due, splitsMax) do split() end
  if missing > 0 then
    local plainUntil = knownBuckets.plainUntilMs > now and ';' .. string.format('%.0f', knownBuckets.plainUntilMs) or ''
    call('SET', base .. 'buckets', knownBuckets.count .. plainUntil)
  end
  local kept = math.max(looksKeptMin, math.min(looksKeptMax, knownBuckets.count / bucketsALook))
  local weight = math.min(1, kept / looks)
  call('SET', key, string.format('%d;%.9g;%.9g;%.9g', turn, looks * weight, records * weight, share * weight), 'PX', retentionMs)
end
