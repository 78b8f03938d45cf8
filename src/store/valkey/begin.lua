-- Makes the store if there is none, and says what it says of itself.
-- KEYS: about, changes, then a table for each first row. ARGV: program, format, id, then key and value of each first row.
local about = redis.call('HMGET', KEYS[1], 'program', 'format', 'id', 'seq', 'mark')
if about[1] or about[2] or about[3] then
  return about
end
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    return redis.error_reply('REMAINS what it says of itself is gone, and other keys of it are there')
  end
end
redis.call('HSET', KEYS[1], 'program', ARGV[1], 'format', ARGV[2], 'id', ARGV[3], 'seq', 0, 'mark', '')
for i = 3, #KEYS do
  redis.call('HSET', KEYS[i], ARGV[2 * i - 2], ARGV[2 * i - 1])
end
return {ARGV[1], ARGV[2], ARGV[3], '0', ''}
