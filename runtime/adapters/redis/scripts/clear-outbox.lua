-- Forgets the outbox of done runs; others are left alone.
-- KEYS[i]  record of the i-th run
-- ARGV[1]  retention, milliseconds
-- ARGV[2]  base of the keys
-- Returns nothing

for index = 1, #KEYS do
  local value = redis.call('GET', KEYS[index])
  if value and value:sub(1, 1) == 'd' then
    local record = decode(value)
    record.tail = ''
    put(ARGV[2], KEYS[index], record, ARGV[1])
  end
end
return false
