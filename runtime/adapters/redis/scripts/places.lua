-- Where a record lies; put behind record.lua.
--
-- In the plain layout each record has a key of its own. In the compact one, records are fields of hashes small enough for Redis to
-- keep them as listpacks, a seventh of the memory: `b:0`, `b:1`, ... The key `buckets` says how many there are, which makes the
-- layout compact, and until when records of the plain layout may be left. Their number grows with the records, one at a time: a
-- field is in the bucket that its hash names modulo the next power of two, or, where that one is not there yet, modulo this one.
--
-- A field is 1 and the 16 bytes of a UUID, or 2, a hash (4) and the text of another event id; what is longer has a key of its own.
-- Its value, at most 64 bytes, as a listpack demands, begins with what it is:
--
--   r leaseUntilMs(6) expiresAtMs(6) worker(2) pipeline(2) payload token    runs under its first claim, and has nothing else to tell
--   D expiresAtMs(6) pipeline(2) payload                                    such a one, done
--   E expiresAtMs(6) epoch(4) losses(2) failures(2) restarts(2) generation(2) pipeline(2) payload
--                       done; steps and outbox, while they are kept, lie under the record's own key
--   L                   any other: all of it lies under the record's own key, and ends with it
--
-- `payload` is 255 and the SHA-1 (20; of what is done its first 6), or the length and text of another hash. Worker (the beginning of
-- its tokens) and pipeline hash are numbers that `names` knows. A bucket outlives its fields.

local textBytesMax, shortHashMax = 55, 40
-- How long steps of what is done are kept, unless `details` says otherwise.
local detailsMsDefault = 86400000
local digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

local function toBase64(bytes)
  local text = {}
  for index = 1, #bytes, 3 do
    local one, two, three = bytes:byte(index, index + 2)
    local number = one * 65536 + (two or 0) * 256 + (three or 0)
    for place = 3, 0, -1 do
      local digit = math.floor(number / 64 ^ place) % 64
      text[#text + 1] = (place == 1 and not two or place == 0 and not three) and '=' or digits:sub(digit + 1, digit + 1)
    end
  end
  return table.concat(text)
end

-- Of text without padding.
local function fromBase64(text)
  local bytes = {}
  for index = 1, #text, 4 do
    local number = 0
    for place = index, index + 3 do number = number * 64 + digits:find(text:sub(place, place), 1, true) - 1 end
    bytes[#bytes + 1] = string.char(math.floor(number / 65536), math.floor(number / 256) % 256, number % 256)
  end
  return table.concat(bytes)
end

local function isSha1(payloadHash)
  return #payloadHash == 28 and payloadHash:find('^[%w+/]+=$') ~= nil
end

local function unsigned(number)
  return number < 0 and number + 4294967296 or number
end

local function fieldOf(eventId)
  if #eventId == 36 and eventId:find('^[%da-f]+%-[%da-f]+%-[%da-f]+%-[%da-f]+%-[%da-f]+$') and eventId:sub(9, 9) .. eventId:sub(14, 14) .. eventId:sub(19, 19) .. eventId:sub(24, 24) == '----' then
    return '\1' .. (eventId:gsub('-', ''):gsub('%x%x', function(pair) return string.char(tonumber(pair, 16)) end))
  end
  if #eventId > textBytesMax then return nil end
  local hash = 2166136261
  for index = 1, #eventId do
    hash = unsigned(bit.bxor(hash, eventId:byte(index)))
    hash = (hash * 403 + (hash % 256) * 16777216) % 4294967296
  end
  return '\2' .. struct.pack('>I4', hash) .. eventId
end

local function hashOf(field)
  if field:byte(1) == 2 then return (struct.unpack('>I4', field, 2)) end
  local one, two, three, four = struct.unpack('>I4I4I4I4', field, 2)
  return unsigned(bit.bxor(one, two, three, four))
end

local function idOf(field)
  if field:byte(1) == 2 then return field:sub(6) end
  local hex = field:sub(2):gsub('.', function(char) return string.format('%02x', char:byte()) end)
  return hex:sub(1, 8) .. '-' .. hex:sub(9, 12) .. '-' .. hex:sub(13, 16) .. '-' .. hex:sub(17, 20) .. '-' .. hex:sub(21)
end

local knownBuckets

local function setBuckets(count, plainUntilMs)
  local lower = 1
  while lower * 2 <= count do lower = lower * 2 end
  knownBuckets = { count = count, lower = lower, upper = lower * 2, plainUntilMs = plainUntilMs }
end

-- Nothing where the layout is plain.
local function bucketsOf(base)
  if knownBuckets == nil then
    local count, plainUntil = (redis.call('GET', base .. 'buckets') or ''):match('^(%d+);?(%d*)$')
    if count then setBuckets(tonumber(count), tonumber(plainUntil) or 0) else knownBuckets = false end
  end
  return knownBuckets
end

local function bucketKey(base, hash)
  local number = hash % knownBuckets.upper
  if number >= knownBuckets.count then number = number - knownBuckets.lower end
  return base .. 'b:' .. number
end

-- By record key: bucket and field of those that have one, and what was found there.
local places = {}

local function placeOf(base, key)
  if not bucketsOf(base) then return nil end
  if places[key] == nil then
    local field = fieldOf(key:sub(#base + 3))
    places[key] = field and { bucket = bucketKey(base, hashOf(field)), field = field } or false
  end
  return places[key] or nil
end

local numbersOf = {}

local function intern(base, text)
  if numbersOf[text] then return numbersOf[text] end
  local names = base .. 'names'
  numbersOf[text] = tonumber(redis.call('HGET', names, '=' .. text))
  if numbersOf[text] then return numbersOf[text] end
  local number = redis.call('HINCRBY', names, 'last', 1) % 65536
  -- The oldest makes way: by then nothing that matters names it.
  local before = redis.call('HGET', names, '#' .. number)
  if before then redis.call('HDEL', names, '=' .. before) end
  redis.call('HSET', names, '=' .. text, number, '#' .. number, text)
  numbersOf[text] = number
  return number
end

-- A bucket lives for longer than any record in it, whose workers may keep them for different times. To read its end of life costs less than to set it, and is not sent to replicas.
local function prolong(bucket, retentionMs)
  if redis.call('PTTL', bucket) < 1.5 * retentionMs then redis.call('PEXPIRE', bucket, 2 * retentionMs) end
end

local knownNames = {}

local function nameOf(base, number)
  if not knownNames[number] then knownNames[number] = redis.call('HGET', base .. 'names', '#' .. number) or '' end
  return knownNames[number]
end

-- The hash whose length stands there, and where it ends. `bytes`: those of a SHA-1 that are there.
local function payloadAt(value, position, bytes)
  local length = value:byte(position)
  if length < 255 then return value:sub(position + 1, position + length), position + length end
  return toBase64(value:sub(position + 1, position + bytes)), position + bytes
end

local function expand(base, value)
  local form = value:sub(1, 1)
  local record = { state = 'd', epoch = 1, failures = 0, losses = 0, restarts = 0, generation = 0, checkpoints = 0, leaseUntilMs = 0, tail = '' }
  if form == 'r' then
    local worker, pipeline, hashEnd
    record.state = 'r'
    record.leaseUntilMs, record.expiresAtMs, worker, pipeline = struct.unpack('>I6I6I2I2', value, 2)
    record.payloadHash, hashEnd = payloadAt(value, 18, 20)
    record.pipelineHash = nameOf(base, pipeline)
    record.tail = nameOf(base, worker) .. value:sub(hashEnd + 1)
  else
    local pipeline, position
    record.expiresAtMs = struct.unpack('>I6', value, 2)
    if form == 'E' then
      record.epoch, record.losses, record.failures, record.restarts, record.generation, pipeline, position = struct.unpack('>I4I2I2I2I2I2', value, 8)
    else
      pipeline, position = struct.unpack('>I2', value, 8)
    end
    record.isShort = value:byte(position) == 255
    record.payloadHash = payloadAt(value, position, 6)
    record.pipelineHash = nameOf(base, pipeline)
  end
  if record.expiresAtMs <= nowMs() then return nil end
  return record
end

-- Nothing of what is unknown, or past its retention.
local function recordOf(base, key)
  local place = placeOf(base, key)
  local value = place and redis.call('HGET', place.bucket, place.field)
  local form = value and value:sub(1, 1)
  if place then place.form = form end
  if not place or form == 'L' or form == 'E' or (not value and knownBuckets.plainUntilMs > nowMs()) then
    local text = redis.call('GET', key)
    -- Beside a mark, what is not done is older than the mark.
    if text and (form ~= 'E' or text:byte() == 100) then
      local record = decode(text)
      if form == 'E' then record.expiresAtMs = struct.unpack('>I6', value, 2) end
      return record
    end
  end
  if not value or form == 'L' then return nil end
  return expand(base, value)
end

local function isSamePayload(record, payloadHash)
  if record.isShort then return isSha1(payloadHash) and payloadHash:sub(1, #record.payloadHash) == record.payloadHash end
  return record.payloadHash == payloadHash
end

local function lifeOf(key, record)
  return record.expiresAtMs and record.expiresAtMs - nowMs() or redis.call('PTTL', key)
end

local knownDetailsMs

local function detailsMs(base)
  knownDetailsMs = knownDetailsMs or tonumber(redis.call('GET', base .. 'details')) or detailsMsDefault
  return knownDetailsMs
end

-- A mark stays of what is done, and beside it what people may still read.
local function putDone(base, key, record, retentionMs, place)
  local hasOutbox = record.tail ~= ''
  if hasOutbox or record.checkpoints > 0 then
    local lifeMs = tonumber(retentionMs)
    -- An outbox is kept until it is known to be published.
    if not hasOutbox then lifeMs = math.min(lifeMs, detailsMs(base)) end
    redis.call('SET', key, encode(record), 'PX', lifeMs)
    if record.checkpoints > 0 then redis.call('PEXPIRE', stepsKey(base, key), lifeMs) end
  -- Also what is left of the plain layout: it would go before the mark.
  elseif place.form ~= 'r' and place.form ~= 'D' then
    redis.call('DEL', key)
  end
  if record.generation > 0 then redis.call('PEXPIRE', historyKey(base, key), retentionMs) end
  local hash = record.payloadHash
  local payload = (record.isShort or isSha1(hash)) and '\255' .. fromBase64(hash:sub(1, 8)) or string.char(#hash) .. hash
  local mark = 'E' .. struct.pack('>I6I4I2I2I2I2I2', nowMs() + retentionMs, record.epoch, math.min(record.losses, countMax), math.min(record.failures, countMax), math.min(record.restarts, countMax), math.min(record.generation, countMax), intern(base, record.pipelineHash)) .. payload
  redis.call('HSET', place.bucket, place.field, mark)
  prolong(place.bucket, retentionMs)
  place.form = 'E'
end

local function put(base, key, record, retentionMs)
  local place = placeOf(base, key)
  if place and record.state == 'd' and #record.payloadHash <= shortHashMax then return putDone(base, key, record, retentionMs, place) end
  redis.call('SET', key, encode(record), 'PX', retentionMs)
  if record.checkpoints > 0 then redis.call('PEXPIRE', stepsKey(base, key), retentionMs) end
  if record.generation > 0 then redis.call('PEXPIRE', historyKey(base, key), retentionMs) end
  if place then
    if place.form ~= 'L' then redis.call('HSET', place.bucket, place.field, 'L') end
    prolong(place.bucket, retentionMs)
    place.form = 'L'
  end
end
