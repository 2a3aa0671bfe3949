-- Tells what the server that holds these keys is, and notes it down for who asks next; asked in a script so that a cluster's
-- right node answers.
-- KEYS[1]  sentinel
-- KEYS[2]  where the server's replication id is kept, without an end of life
-- ARGV[1]  base of the keys
-- ARGV[2]  the replication id that the client met last; empty when it met none
-- ARGV[3]  value for the sentinel, if there is none beside records
-- Returns { the memory and replication sections of INFO, the replication id that was kept or nothing, 1 when there are records
-- without a sentinel, as far as a short look finds }

local looksMax, keysPerLook = 20, 1000

-- A user may be refused INFO or SCAN: then there is nothing to tell of them.
local function ask(...)
  local reply = redis.pcall(...)
  return type(reply) == 'table' and reply.err and '' or reply
end

local info = ask('INFO', 'memory') .. '\r\n' .. ask('INFO', 'replication')
local id = info:match('master_replid:(%w+)')
local before = redis.call('GET', KEYS[2])
local known = before or ARGV[2]
local now = nowMs()
-- A replica takes no writes, and is no server to remember.
if id and id ~= before and info:find('role:master', 1, true) then
  redis.call('SET', KEYS[2], id)
  local sentinel = redis.call('GET', KEYS[1])
  if sentinel and known ~= '' and known ~= id then
    local sentinelId, planted = sentinelParts(sentinel)
    redis.call('SET', KEYS[1], sentinelOf(sentinelId, planted == '' and now or planted, now))
  end
end

local orphans = 0
if redis.call('EXISTS', KEYS[1]) == 0 then
  local cursor = '0'
  for _ = 1, looksMax do
    local found = ask('SCAN', cursor, 'MATCH', ARGV[1] .. 'r:*', 'COUNT', keysPerLook)
    if found == '' then break end
    cursor = found[1]
    if #found[2] > 0 then orphans = 1 end
    if cursor == '0' or orphans == 1 then break end
  end
  -- Whoever may not ask for INFO may still be at the master; a replica refuses the write, and is no server to remember.
  if orphans == 1 and not info:find('role:slave', 1, true) then redis.pcall('SET', KEYS[1], sentinelOf(ARGV[3], now, now)) end
end
return { info, before, orphans }
