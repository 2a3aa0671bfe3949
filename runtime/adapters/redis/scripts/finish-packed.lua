-- Marks runs done in the compact layout (see places.lua).
-- KEYS[1]  number of buckets
-- ARGV[1]  retention, milliseconds
-- ARGV[2]  base of the keys
-- ARGV[3]  the runs, each: hash (4), epoch (4), length of the field (1), the field; a run without a field is one of the odd ones
-- then     eventId and write (as of finish.lua) of each odd run: one with an outbox or steps, or whose id is too long for a field
-- and at last three arguments to sign with (see record.lua)
-- Returns one character a run: w (written, also when it was written before) or s (stale)

local retentionMs, base = ARGV[1], ARGV[2]
local call, byte, sub, unpackStruct = redis.call, string.byte, string.sub, struct.unpack
local now = nowMs()

local function putSteps(key, record, fields)
  for index = 2, #fields, 2 do
    record.checkpoints = record.checkpoints + 1
    fields[index] = struct.pack('>I4d', record.checkpoints, now) .. fields[index]
  end
  call('HSET', stepsKey(base, key), unpack(fields))
end

local function finish(key, epoch, outbox, steps)
  local record = recordOf(base, key)
  if not record or record.epoch ~= epoch then return 's' end
  if record.state == 'd' then return 'w' end
  -- One that is called off and comes to its end all the same is done.
  if record.state ~= 'r' and record.state ~= 'c' then return 's' end
  if steps then putSteps(key, record, steps) end
  record.state = 'd'
  record.tail = outbox
  put(base, key, record, retentionMs)
  return 'w'
end

local function finishOdd(key, write)
  local epoch, mark, outboxAt = write:match('^(%d+)([:;]?)()')
  if mark ~= ';' then return finish(key, tonumber(epoch), sub(write, outboxAt)) end
  local count, position = write:match('^(%d+);()', outboxAt)
  local fields = {}
  for field = 1, tonumber(count) do
    local length = unpackStruct('>I4', write, position)
    fields[field] = sub(write, position + 4, position + 3 + length)
    position = position + 4 + length
  end
  return finish(key, tonumber(epoch), sub(write, position), fields)
end

local isCompact = bucketsOf(base)
local done = 'D' .. struct.pack('>I6', now + retentionMs)
-- For one that was claimed so long ago that it ends before, its bucket's end of life has to be set, too.
local endsLateMs = now + retentionMs / 2
local codes, blob, odd, position, count = {}, ARGV[3], 4, 1, 0
local blobEnd = #blob
while position < blobEnd do
  local hash, epoch, fieldBytes = unpackStruct('>I4I4B', blob, position)
  position = position + 9
  count = count + 1
  if fieldBytes == 0 then
    codes[count] = finishOdd(base .. 'r:' .. ARGV[odd], ARGV[odd + 1])
    odd = odd + 2
  else
    local field = sub(blob, position, position + fieldBytes - 1)
    position = position + fieldBytes
    local bucket = isCompact and bucketKey(base, hash)
    local value = isCompact and call('HGET', bucket, field)
    if value and epoch == 1 and byte(value) == 114 and unpackStruct('>I6', value, 8) > endsLateMs then
      local length = byte(value, 18)
      call('HSET', bucket, field, done .. sub(value, 16, 18 + (length == 255 and 6 or length)))
      codes[count] = 'w'
    else
      codes[count] = finish(base .. 'r:' .. idOf(field), epoch, '')
    end
  end
end
sign(base, retentionMs)
return table.concat(codes)
