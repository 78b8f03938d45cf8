#!lua flags=no-writes
-- How many others, whose lease has not ended, have not heard of a change yet.
-- KEYS: replicas, heard. ARGV: who asks, the change.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local behind = 0
for _, other in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')) do
  if other ~= ARGV[1] and tonumber(redis.call('HGET', KEYS[2], other) or 0) < tonumber(ARGV[2]) then
    behind = behind + 1
  end
end
return behind
