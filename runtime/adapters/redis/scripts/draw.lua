-- Draws on the bucket of a rate limit, as `drawFrom` of core/token-bucket.ts does, by the server's clock.
-- KEYS[1]  bucket: its level and when that was, in milliseconds; a bucket that is not there is full
-- ARGV[1]  units a minute
-- ARGV[2]  what the bucket holds when full
-- ARGV[3]  units without which none are of use; 0 when only something is given back
-- ARGV[4]  units that can be used
-- ARGV[5]  units that are given back; negative for those that were used without having been taken
-- ARGV[6]  how long the needed ones may be in coming, in milliseconds
-- Returns  units taken, units that were there before, and until what was needed can be used, in milliseconds
-- The bucket lives until it would be full.

local perMs = tonumber(ARGV[1]) / 60000
local capacity = tonumber(ARGV[2])
local need = tonumber(ARGV[3])
local waitMaxMs = tonumber(ARGV[6])
local now = nowMs()
local at = now
local level = capacity
local kept = redis.call('GET', KEYS[1])
if kept then
  local keptLevel, keptAt = kept:match('^(%S+) (%S+)$')
  at = math.max(now, tonumber(keptAt))
  level = math.min(capacity, tonumber(keptLevel) + (at - tonumber(keptAt)) * perMs)
end
level = math.min(capacity, level + tonumber(ARGV[5]))
local before = level
local afterMs = math.max(0, math.ceil((math.min(need, capacity) - level) / perMs))
local granted = 0
if need > 0 and afterMs <= waitMaxMs then
  granted = math.max(need, math.min(tonumber(ARGV[4]), math.floor(level + waitMaxMs * perMs)))
  level = level - granted
end
local fullMs = math.ceil((capacity - level) / perMs) + at - now
if fullMs > 0 then
  redis.call('SET', KEYS[1], string.format('%.17g %.17g', level, at), 'PX', string.format('%d', fullMs))
elseif kept then
  redis.call('DEL', KEYS[1])
end
return { string.format('%.17g', granted), string.format('%.17g', before), string.format('%.17g', afterMs) }
