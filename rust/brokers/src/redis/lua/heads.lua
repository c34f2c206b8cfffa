-- Returns the newest position of each stream. KEYS: 2 and 3 counter and history of the first stream, and
-- so on.
local results = {}
for key = 2, #KEYS, 2 do
  results[#results + 1] = position(head(KEYS[key], KEYS[key + 1]))
end
return results
