-- Tells over how many hash tags the records of a consumer are spread, and notes it down for the first who asks.
-- KEYS[1]  where the number is kept, without an end of life
-- KEYS[2]  sentinel of records that lie under one tag: where they began before the number was kept, it is 1
-- ARGV[1]  the number, where there are no records yet
-- Returns the number

local known = redis.call('GET', KEYS[1])
if not known then
  known = redis.call('EXISTS', KEYS[2]) == 1 and '1' or ARGV[1]
  redis.call('SET', KEYS[1], known)
end
return known
