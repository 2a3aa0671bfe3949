-- Notes what pipeline hashes stand for, and forgets those that nobody has named for long.
-- KEYS[1]  hash of the kinds, by pipeline hash: JSON { atMs, kind }
-- ARGV[1]  how long a kind is kept after it was last named, milliseconds
-- ARGV[2], ARGV[3], ...  pipeline hash, and the kind as JSON
-- Returns nothing

local now = nowMs()
local known = redis.call('HGETALL', KEYS[1])
for index = 1, #known, 2 do
  local isReadable, entry = pcall(cjson.decode, known[index + 1])
  if not isReadable or entry.atMs + tonumber(ARGV[1]) < now then redis.call('HDEL', KEYS[1], known[index]) end
end
for index = 2, #ARGV, 2 do
  -- The kind stays the text that it is: an empty list would become an empty object.
  redis.call('HSET', KEYS[1], ARGV[index], '{"atMs":' .. string.format('%.0f', now) .. ',"kind":' .. ARGV[index + 1] .. '}')
end
return false
