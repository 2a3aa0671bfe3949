-- Notes in the history of runs that their dead letters were deleted.
-- KEYS[i]  record of the i-th run
-- ARGV[1]  retention, milliseconds
-- ARGV[2]  base of the keys
-- ARGV[3]  why
-- ARGV[4]  who did it
-- Returns nothing

local entry = cjson.encode({ kind = 'closed', atMs = nowMs(), reason = ARGV[3], who = ARGV[4] })
for index = 1, #KEYS do
  if recordOf(ARGV[2], KEYS[index]) then note(ARGV[2], KEYS[index], entry, ARGV[1]) end
end
return false
