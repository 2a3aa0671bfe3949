-- Counts failures for all workers of a consumer, and says which of them are escalated.
-- KEYS[1]             escalations that are left in this hour, and when that was
-- KEYS[2i], KEYS[2i+1]  of the i-th failure: the last ones within the window, by time; and what is known of their escalations
-- ARGV[1]             escalations an hour, of all together
-- ARGV[5i-3] ... ARGV[5i+1]  of the i-th failure: its name, how many are needed, how many are kept, window and pause before the same is
--                     escalated again, both in milliseconds
-- Returns three values a failure: what is due (0 nothing yet, 1 an escalation, 2 the same was escalated a short time ago, 3 there were
-- too many others), how many there are within the window, and how many since the last escalation

local hourMs = 3600000
local perHour = tonumber(ARGV[1])
local now = nowMs()

local function spend()
  local left, at = perHour, now
  local kept = redis.call('GET', KEYS[1])
  if kept then
    local keptLeft, keptAt = kept:match('^(%S+) (%S+)$')
    at = math.max(now, tonumber(keptAt))
    left = math.min(perHour, tonumber(keptLeft) + (at - tonumber(keptAt)) * perHour / hourMs)
  end
  if left < 1 then return false end
  redis.call('SET', KEYS[1], string.format('%.17g %.17g', left - 1, at), 'PX', hourMs)
  return true
end

local reply = {}
for index = 1, (#KEYS - 1) / 2 do
  local times, known = KEYS[2 * index], KEYS[2 * index + 1]
  local at = 5 * index - 3
  local failure, needed, kept, windowMs, repeatMs = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  redis.call('ZREMRANGEBYSCORE', times, '-inf', now - windowMs)
  if redis.call('ZADD', times, 'NX', now, failure) == 1 then redis.call('HINCRBY', known, 'since', 1) end
  redis.call('ZREMRANGEBYRANK', times, 0, -kept - 1)
  redis.call('PEXPIRE', times, windowMs)
  local count = redis.call('ZCARD', times)
  local since, escalated, by, sinceThen = unpack(redis.call('HMGET', known, 'since', 'at', 'by', 'then'))
  local due = 0
  if escalated and now < tonumber(escalated) + repeatMs then
    -- Whoever escalated it may have ended before the job was there: told once more, it is due once more.
    if by == failure then
      due, since = 1, sinceThen
    elseif count >= needed then
      due = 2
    end
  elseif count >= needed then
    due = spend() and 1 or 3
    if due == 1 then redis.call('HSET', known, 'at', string.format('%.0f', now), 'by', failure, 'then', since, 'since', 0) end
  end
  redis.call('PEXPIRE', known, math.max(windowMs, repeatMs))
  reply[3 * index - 2], reply[3 * index - 1], reply[3 * index] = due, count, tonumber(since or 0)
end
return reply
