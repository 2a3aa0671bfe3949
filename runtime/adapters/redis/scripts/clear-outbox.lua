-- Forgets the outbox of done runs; others are left alone.
-- KEYS[i]  record of the i-th run
-- ARGV[1]  retention, milliseconds
-- ARGV[2]  base of the keys
-- Returns nothing

for index = 1, #KEYS do
  local record = recordOf(ARGV[2], KEYS[index])
  if record and record.state == 'd' and record.tail ~= '' then
    record.tail = ''
    put(ARGV[2], KEYS[index], record, ARGV[1])
  end
end
return false
