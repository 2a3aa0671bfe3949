-- Tells over how many hash tags the records of a consumer are spread, and how they are laid out, and notes it down for the first who asks.
-- KEYS[1]  where that is kept, without an end of life: the number, and ` compact` where they are laid out so
-- KEYS[2]  sentinel of records that lie under one tag: where they began before the number was kept, it is 1
-- ARGV[1]  what is kept where there are no records yet
-- ARGV[2]  1 where the records become compact, whatever they were
-- Returns what is kept

local known = redis.call('GET', KEYS[1])
local before = known
if not known then known = redis.call('EXISTS', KEYS[2]) == 1 and '1' or ARGV[1] end
if ARGV[2] == '1' and not known:find(' ', 1, true) then known = known .. ' compact' end
if known ~= before then redis.call('SET', KEYS[1], known) end
return known
