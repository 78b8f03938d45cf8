-- Does one change, and says which one it was and how many other jobshims are to hear of it.
-- KEYS: about, changes, replicas, then tables. ARGV: format, id, who asks, what the others read, then for each step the place of
-- its table in KEYS, the action, the key and the value.
local about = redis.call('HMGET', KEYS[1], 'format', 'id')
if about[1] ~= ARGV[1] or about[2] ~= ARGV[2] then
  return redis.error_reply('REPLACED another store is in its place')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 5, #ARGV, 4 do
  local rows, action, key, value = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if string.sub(action, 1, 4) == 'for:' then
    -- Each row is a key of its own, and a list says which there are.
    local lifetime = tonumber(string.sub(action, 5))
    redis.call('SET', rows .. ':' .. key, value, 'PX', lifetime)
    redis.call('ZADD', rows, string.format('%.0f', now + lifetime), key)
    redis.call('ZREMRANGEBYSCORE', rows, '-inf', string.format('%.0f', now))
    redis.call('ZREMRANGEBYRANK', rows, 0, -10001)
    redis.call('PEXPIRE', rows, lifetime)
  elseif action == 'put' then
    redis.call('HSET', rows, key, value)
  elseif action == 'new' then
    redis.call('HSETNX', rows, key, value)
  elseif action == 'remove' or redis.call('HGET', rows, key) == value then
    redis.call('HDEL', rows, key)
  end
end
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, string.format('%.0f-0', seq), 'rows', ARGV[4])
local others = redis.call('ZCOUNT', KEYS[3], string.format('(%.0f', now), '+inf')
if tonumber(redis.call('ZSCORE', KEYS[3], ARGV[3]) or 0) > now then
  others = others - 1
end
return {seq, others}
