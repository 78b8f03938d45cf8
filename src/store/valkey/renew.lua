#!lua flags=allow-oom
-- One jobshim says how far it has heard, and that it is waited for until its lease ends. Gives what the store says of itself.
-- KEYS: about, replicas, heard. ARGV: who, how far, for how many ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[3]), ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now - 60000))) do
  redis.call('ZREM', KEYS[2], gone)
  redis.call('HDEL', KEYS[3], gone)
end
return redis.call('HMGET', KEYS[1], 'program', 'format', 'id', 'seq', 'mark')
