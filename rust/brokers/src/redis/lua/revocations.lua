-- Returns the entries that have not ended, each with its remaining time (milliseconds). KEYS: 1 the
-- entries, sorted by when they end.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('ZRANGE', KEYS[1], string.format('(%.0f', now), '+inf', 'BYSCORE', 'WITHSCORES')
for place = 2, #found, 2 do
  found[place] = string.format('%.0f', found[place] - now)
end
return found
