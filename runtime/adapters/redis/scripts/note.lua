-- Adds an entry to the history of a run that is known.
-- KEYS[1]  record
-- ARGV[1]  retention, milliseconds
-- ARGV[2]  base of the keys
-- ARGV[3]  history entry, a JSON object, which gets its time
-- Returns nothing

if recordOf(ARGV[2], KEYS[1]) then
  note(ARGV[2], KEYS[1], '{"atMs":' .. string.format('%.0f', nowMs()) .. ',' .. ARGV[3]:sub(2), ARGV[1])
end
return false
