-- Makes the consumer's secret, unless there is one.
-- KEYS[1]  secret
-- ARGV[1]  what it is to be when there is none
-- Returns the secret

redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
