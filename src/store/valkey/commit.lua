-- Does one change, and says which one it was and how many other jobshims are to hear of it.
-- KEYS: about, changes, replicas, then tables. ARGV: format, id, who asks, what the others read, a mark of this change, then for each
-- step the place of its table in KEYS, the action, the key and the value.
local about = redis.call('HMGET', KEYS[1], 'format', 'id', 'mark')
if about[1] ~= ARGV[1] or about[2] ~= ARGV[2] then
  return redis.error_reply('REPLACED another store is in its place')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Of a table whose rows expire, each row is a key of its own. A list says which there are, and another one how long they are; the
-- length of all has no name there.
local function drop(rows, key)
  local length = redis.call('HGET', rows .. ':lengths', key)
  if length then
    redis.call('DEL', rows .. ':' .. key)
    redis.call('ZREM', rows, key)
    redis.call('HDEL', rows .. ':lengths', key)
    redis.call('HINCRBY', rows .. ':lengths', '', -length)
  end
end

local function put_for(rows, key, value, lifetime, most)
  drop(rows, key)
  redis.call('SET', rows .. ':' .. key, value, 'PX', lifetime)
  redis.call('ZADD', rows, string.format('%.0f', now + lifetime), key)
  redis.call('HSET', rows .. ':lengths', key, #value)
  local all = redis.call('HINCRBY', rows .. ':lengths', '', #value)
  local oldest = redis.call('ZRANGE', rows, 0, 0, 'WITHSCORES')
  while oldest[1] and oldest[1] ~= key and (all > most or tonumber(oldest[2]) <= now) do
    drop(rows, oldest[1])
    all = tonumber(redis.call('HGET', rows .. ':lengths', ''))
    oldest = redis.call('ZRANGE', rows, 0, 0, 'WITHSCORES')
  end
  redis.call('PEXPIRE', rows, lifetime)
  redis.call('PEXPIRE', rows .. ':lengths', lifetime)
end

for i = 6, #ARGV, 4 do
  local rows, action, key, value = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local there = (action == 'expect' or action == 'absent') and redis.call('HGET', rows, key)
  if (action == 'expect' and there ~= value) or (action == 'absent' and there) then
    return redis.error_reply('CHANGED another change came before this one')
  end
end

for i = 6, #ARGV, 4 do
  local rows, action, key, value = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local lifetime, most = string.match(action, '^for:(%d+):(%d+)$')
  if lifetime then
    put_for(rows, key, value, tonumber(lifetime), tonumber(most))
  elseif action == 'put' then
    redis.call('HSET', rows, key, value)
  elseif action == 'new' then
    redis.call('HSETNX', rows, key, value)
  elseif action == 'remove' or (action == 'if' and redis.call('HGET', rows, key) == value) then
    redis.call('HDEL', rows, key)
  end
end
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('HSET', KEYS[1], 'mark', ARGV[5])
-- Who has heard of another change before this one has to hear of everything: the store was brought back from an older copy.
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, string.format('%.0f-0', seq),
  'rows', ARGV[4], 'mark', ARGV[5], 'after', about[3] or '')
local others = redis.call('ZCOUNT', KEYS[3], string.format('(%.0f', now), '+inf')
if tonumber(redis.call('ZSCORE', KEYS[3], ARGV[3]) or 0) > now then
  others = others - 1
end
return {seq, others}
