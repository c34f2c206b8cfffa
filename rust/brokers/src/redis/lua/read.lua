-- Reads the events after a position. KEYS: 2 counter, 3 history. ARGV: 6 the epoch, 7 the offset, 8 how
-- many events at most, 9 how many bytes are enough.
-- Returns a word ('epoch', 'late' or 'found'), the newest position and the envelopes, oldest first.
local epoch, offset = head(KEYS[2], KEYS[3])
local newest = position(epoch, offset)
local after, limit, enough = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
if epoch ~= ARGV[6] or after > offset then
  return { 'epoch', newest }
end
local found, bytes = {}, 0
while after < offset and #found < limit and bytes < enough do
  local size = math.min(32, limit - #found)
  local page = redis.pcall('XRANGE', KEYS[3], string.format('%.0f-0', after + 1), '+', 'COUNT', size)
  if page.err and not string.find(page.err, '^WRONGTYPE') then
    return page
  end
  -- A key that another program has written (WRONGTYPE) counts as an empty history.
  if #page == 0 then
    return { 'late', newest }
  end
  for _, entry in ipairs(page) do
    after = after + 1
    if entry[1] ~= string.format('%.0f-0', after) then
      return { 'late', newest }
    end
    local envelope = entry[2][2]
    bytes = bytes + #envelope
    found[#found + 1] = envelope
  end
end
return { 'found', newest, found }
