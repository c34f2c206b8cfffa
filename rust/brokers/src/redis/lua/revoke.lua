-- Stores an entry for a time. KEYS: 1 the entries, sorted by when they end. ARGV: 1 the entry, 2 how long
-- it is kept (milliseconds), 3 how many are kept at most. Returns 1, or 0 if there is no room.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
-- An entry that is stored already is kept for the longer of both times.
redis.call('ZADD', KEYS[1], 'GT', string.format('%.0f', now + ARGV[2]), ARGV[1])
if redis.call('ZCARD', KEYS[1]) > tonumber(ARGV[3]) then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return 0
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('EXPIRE', KEYS[1], string.format('%.0f', math.ceil((last[2] - now) / 1000) + 1))
return 1
