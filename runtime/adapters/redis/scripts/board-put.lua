-- Leaves a note on the board of a pool. A new one that is too many takes away those whose time is over, and the oldest.
-- KEYS[1]  the notes of the topic, by name: when each ends in milliseconds, a space, and what it says
-- ARGV     the note's name, what it says, how long it is kept in milliseconds, how many the topic keeps
-- Returns nothing

local now = nowMs()
local keepMs, notesMax = tonumber(ARGV[3]), tonumber(ARGV[4])

local function sweep()
  local live = {}
  local notes = redis.call('HGETALL', KEYS[1])
  for index = 1, #notes, 2 do
    local ends = tonumber(notes[index + 1]:match('^%S+'))
    if ends <= now then
      redis.call('HDEL', KEYS[1], notes[index])
    else
      live[#live + 1] = { ends = ends, name = notes[index] }
    end
  end
  if #live <= notesMax then return end
  table.sort(live, function(one, other) return one.ends > other.ends end)
  for index = notesMax + 1, #live do redis.call('HDEL', KEYS[1], live[index].name) end
end

local isNew = redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now + keepMs, ARGV[2])) == 1
if isNew and redis.call('HLEN', KEYS[1]) > notesMax then sweep() end
if redis.call('PTTL', KEYS[1]) < keepMs then redis.call('PEXPIRE', KEYS[1], keepMs) end
