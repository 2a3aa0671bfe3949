-- Tells what the server that holds these keys is, and notes it down for who asks next; asked in a script so that a cluster's
-- right node answers.
-- KEYS[1]  sentinel
-- KEYS[2]  the replication id of the server that was met last, without an end of life; when another had taken its place and had kept
--          all that could be looked for, a semicolon and the time of that follow
-- ARGV[1]  base of the keys
-- ARGV[2]  the replication id that the client met last; empty when it met none
-- ARGV[3]  value for the sentinel, if there is none beside records
-- ARGV[4]  under which name the client signs
-- ARGV[5]  number of the last of its calls that was acknowledged; 0 for none
-- ARGV[6]  seconds since it was
-- ARGV[7]  1 when what is found is noted
-- ARGV[8]  retention, milliseconds
-- ARGV[9]  how long steps of what is done are kept, milliseconds; empty for the time that places.lua says
-- Returns { the memory section of INFO, the replication id, what became of it, milliseconds since a server was met that had kept all,
-- or nothing, 1 when there are records without a sentinel, as far as a short look finds }. What became of it: `same` server as before,
-- or the first one; `replica`: it is none to be met; `moved`: to a server that was there all the time; `kept`: another one, or one that was restarted,
-- which has the client's last write; `lost`: one that has not, or of which that is not to be told.

local looksMax, keysPerLook = 20, 1000
local base = ARGV[1]

-- A user may be refused INFO or SCAN: then there is nothing to tell of them.
local function ask(...)
  local reply = redis.pcall(...)
  return type(reply) == 'table' and reply.err and '' or reply
end

if ARGV[7] == '1' and redis.call('GET', base .. 'details') ~= (ARGV[9] ~= '' and ARGV[9]) then
  redis.pcall(unpack(ARGV[9] == '' and { 'DEL', base .. 'details' } or { 'SET', base .. 'details', ARGV[9] }))
end

local memory, replication = ask('INFO', 'memory'), ask('INFO', 'replication')
local id = replication:match('master_replid:(%w+)')
local isMaster = replication:find('role:master', 1, true) ~= nil
local now = nowMs()

local function becameOf(known)
  if known == '' or known == id then return 'same' end
  local acknowledged = tonumber(ARGV[5])
  local signed = tonumber(redis.call('GET', base .. 'w:' .. ARGV[4]) or '-1')
  if acknowledged == 0 or signed < acknowledged then return 'lost' end
  -- A replica that was promoted has a second id, and a server that was restarted has not been up for long. One that is neither was
  -- there all the time: the slot came to it, or its first replica gave it another id.
  local wasPromoted = (replication:match('master_replid2:(%w+)') or 'unknown'):find('[^0]') ~= nil
  local upS = tonumber(ask('INFO', 'server'):match('uptime_in_seconds:(%d+)') or '0')
  if not wasPromoted and upS > tonumber(ARGV[6]) then return 'moved' end
  return 'kept'
end

local became, keptAgo = id and not isMaster and 'replica' or 'same', false
-- A replica takes no writes, and is no server to remember.
if id and isMaster then
  local before = redis.call('GET', KEYS[2]) or ''
  local idBefore, keptAt = before:match('^([^;]*);?([^;]*)$')
  became = becameOf(ARGV[2] == '' and idBefore or ARGV[2])
  if became == 'kept' then keptAgo = 0 elseif idBefore == id and keptAt ~= '' then keptAgo = now - keptAt end
  if ARGV[7] == '1' then
    if idBefore ~= id then redis.call('SET', KEYS[2], became == 'kept' and id .. ';' .. now or id) end
    local sentinel = became == 'lost' and redis.call('GET', KEYS[1])
    if sentinel then
      local sentinelId, planted = sentinelParts(sentinel)
      redis.call('SET', KEYS[1], sentinelOf(sentinelId, planted == '' and now or planted, now))
      if ARGV[5] ~= '0' then redis.call('SET', base .. 'w:' .. ARGV[4], ARGV[5], 'PX', ARGV[8]) end
    end
  end
end

local orphans = 0
if redis.call('EXISTS', KEYS[1]) == 0 then
  local cursor = '0'
  for _ = 1, looksMax do
    local found = ask('SCAN', cursor, 'MATCH', base .. '[rb]:*', 'COUNT', keysPerLook)
    if found == '' then break end
    cursor = found[1]
    if #found[2] > 0 then orphans = 1 end
    if cursor == '0' or orphans == 1 then break end
  end
  -- Whoever may not ask for INFO may still be at the master; a replica refuses the write, and is no server to remember.
  if orphans == 1 and ARGV[7] == '1' and not replication:find('role:slave', 1, true) then
    redis.pcall('SET', KEYS[1], sentinelOf(ARGV[3], now, now))
  end
end
return { memory, id or '', became, keptAgo, orphans }
