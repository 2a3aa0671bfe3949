-- What a client that has written before finds out about losses, and the signature that it leaves; put before whatever does so. The
-- last three arguments, or those from `at` on, are what it signs with (see record.lua).

-- Returns the sentinel's value, and whether it was planted now. Whoever knows another one than the one that is there, or misses its signature,
-- knows of a loss, and notes it in the sentinel.
local function meetSentinel(key, base, known, planted, now, at)
  at = at or #ARGV - 2
  local sentinel = redis.call('GET', key)
  local isPlanted = not sentinel
  if not sentinel then
    sentinel = known == '' and planted .. ';' .. now or sentinelOf(planted, now, now)
    redis.call('SET', key, sentinel)
  elseif sentinel ~= known and known ~= '' then
    local id, plantedAt, lost = sentinelParts(sentinel)
    if lost == '' and id ~= sentinelParts(known) then
      if plantedAt == '' then plantedAt = now end
      sentinel = sentinelOf(id, plantedAt, plantedAt)
      redis.call('SET', key, sentinel)
    end
  end
  -- The server has lost what the client was told to have written.
  if sentinel == known and signatureOf(base, at) < tonumber(ARGV[at + 2]) then
    local id, plantedAt = sentinelParts(sentinel)
    sentinel = sentinelOf(id, plantedAt == '' and now or plantedAt, now)
    redis.call('SET', key, sentinel)
  end
  return sentinel, isPlanted
end

local function signBy(sentinel, known, base, retentionMs, at)
  if sentinel == known then sign(base, retentionMs, at) else setSignature(base, retentionMs, at) end
end
