-- Tells what the server that holds these keys is; asked in a script so that a cluster's right node answers.
-- KEYS[1]  sentinel, which names the node
-- Returns the memory and replication sections of INFO

return redis.call('INFO', 'memory') .. '\r\n' .. redis.call('INFO', 'replication')
