-- Tells what pipeline hashes stand for.
-- KEYS[1]  hash of the kinds
-- Returns { JSON { atMs, kind }, ... }

local known = redis.call('HGETALL', KEYS[1])
local kinds = {}
for index = 2, #known, 2 do
  kinds[#kinds + 1] = known[index]
end
return kinds
