-- Forgets a run that has ended.
-- KEYS[1]  record
-- ARGV[1]  base of the keys
-- Returns u (unknown), l (it is on its way, and stays) or r (removed)

local base, key = ARGV[1], KEYS[1]
local record = recordOf(base, key)
if not record then return 'u' end
if not ('dxp'):find(record.state, 1, true) then return 'l' end
local place = placeOf(base, key)
if place then redis.call('HDEL', place.bucket, place.field) end
redis.call('DEL', key, stepsKey(base, key), historyKey(base, key), setbacksKey(base, key), cancelKey(base, key))
return 'r'
