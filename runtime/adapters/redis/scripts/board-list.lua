-- What is on the board of a pool.
-- KEYS[1]  the notes of the topic, by name: when each ends in milliseconds, a space, and what it says
-- ARGV[1]  the one to take away, or empty for all to be listed
-- Returns name and text of each, one after the other; of the one that was taken, where it was still to be seen

local now = nowMs()
local reply = {}
local function add(name, note)
  local ends, text = note:match('^(%S+) (.*)$')
  if tonumber(ends) > now then reply[#reply + 1], reply[#reply + 2] = name, text end
end

if ARGV[1] ~= '' then
  local note = redis.call('HGET', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[1], ARGV[1])
  if note then add(ARGV[1], note) end
  return reply
end
local notes = redis.call('HGETALL', KEYS[1])
for index = 1, #notes, 2 do add(notes[index], notes[index + 1]) end
return reply
