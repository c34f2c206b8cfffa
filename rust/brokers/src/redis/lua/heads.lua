-- Returns the newest position of each stream, or '!' and an error: a stream that cannot be stored now must
-- not affect the others. KEYS: 2 and 3 counter and history of the first stream, and so on.
local results = {}
for key = 2, #KEYS, 2 do
  local is_found, epoch, offset = pcall(head, KEYS[key], KEYS[key + 1])
  if is_found then
    results[#results + 1] = position(epoch, offset)
  else
    results[#results + 1] = '!' .. (type(epoch) == 'table' and epoch.err or tostring(epoch))
  end
end
return results
