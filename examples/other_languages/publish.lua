-- Publishes one event by any client of Redis:
--
--     redis-cli --eval publish.lua , orders '{"id": 7}'
--     EVAL "<this file>" 0 <channel> <event> [<id> [<tenant>]]
--
-- <event>   a JSON object, if the servers have Redis(..., accept_raw=True); or an envelope
--           (docs/reference/envelope.md), which every server takes
-- <id>      the same again within 5 minutes is no second event; '' or absent: none
-- <tenant>  where the servers have TenantIsolation
--
-- Returns the position of the event. For one Redis, not for a cluster. The keys may change with a
-- version of fraiseql-subs: take this file from the version that the servers have.

-- As the servers have them: the prefix of the URL, and History(events=..., seconds=...).
local prefix, kept_events, kept_seconds = 'fs1', 1000, 300
local known_seconds = 300
local two_32 = 4294967296

local channel, event, id, tenant = ARGV[1], ARGV[2], ARGV[3] or '', ARGV[4] or ''
if not channel or channel == '' or not event then
  return redis.error_reply('ERR pass a channel and an event')
end
if string.byte(event) ~= 1 then
  local is_json, value = pcall(cjson.decode, event)
  if not is_json or type(value) ~= 'table' or string.sub(event, 1, 1) ~= '{' then
    return redis.error_reply('ERR the event is neither a JSON object nor an envelope')
  end
end

local function escape(text)
  local escaped = string.gsub(text, '[^%w%-_%.]', function(letter)
    return string.format('%%%02X', string.byte(letter))
  end)
  return escaped
end

local stream = escape(channel)
if tenant ~= '' then
  stream = escape(tenant) .. ':' .. stream
end
if #stream > 200 or #escape(id) > 200 then
  return redis.error_reply('ERR the channel or the id is too long')
end

-- FNV-1a of 64 bits, and a last multiplication, of which the upper half counts.
local function partition_of(name, partitions)
  local high, low = 0xcbf29ce4, 0x84222325
  for i = 1, #name do
    low = bit.bxor(low, string.byte(name, i)) % two_32
    local product = low * 0x1b3
    high = (high * 0x1b3 + low * 256 + math.floor(product / two_32)) % two_32
    low = product % two_32
  end
  low = bit.bxor(low, high) % two_32
  local function lower(a, b)
    return (a * (b % 65536) + (a * math.floor(b / 65536)) % 65536 * 65536) % two_32
  end
  local function upper(a, b)
    local a0, a1, b0, b1 = a % 65536, math.floor(a / 65536), b % 65536, math.floor(b / 65536)
    local middle = a0 * b1 + math.floor(a0 * b0 / 65536) + a1 * b0
    return a1 * b1 + math.floor(middle / 65536)
  end
  local k_high, k_low = 0x9e3779b9, 0x7f4a7c15
  local mixed = lower(high, k_low) + lower(low, k_high) + upper(low, k_low)
  return mixed % two_32 % partitions
end

-- CRC-16/XMODEM.
local function slot_of(tag)
  local crc = 0
  for i = 1, #tag do
    crc = bit.bxor(crc, string.byte(tag, i) * 256)
    for _ = 1, 8 do
      crc = crc * 2
      if crc >= 65536 then
        crc = bit.bxor(crc - 65536, 0x1021)
      end
    end
  end
  return crc % 16384
end

local partitions = tonumber(string.match(redis.call('GET', prefix .. ':layout') or '', '^%d+') or '')
if not partitions then
  return redis.error_reply('ERR no server of fraiseql-subs has connected with this prefix')
end
local partition, number = partition_of(stream, partitions), 0
while math.floor(slot_of(tostring(number)) / (16384 / partitions)) ~= partition do
  number = number + 1
end
local start = prefix .. ':{' .. number .. '}:'
local state, counter, history = start .. 'm', start .. 's:' .. stream, start .. 'h:' .. stream
local on = start .. 'c:' .. stream

-- A server that was restarted, or promoted, begins new epochs: what it has may be too old.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local promotion = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
local now = redis.call('TIME')
local fresh = string.sub(redis.sha1hex(run .. now[1] .. '.' .. now[2] .. stream), 1, 16)
local kept = math.max(86400, 2 * kept_seconds)
local period = string.format('%.0f', math.floor(now[1] / (kept / 8)))

local known = redis.call('HMGET', state, 'run', 'promotion', 'generation')
local generation = known[3]
if known[1] ~= run or known[2] ~= promotion or not generation then
  generation = fresh
  redis.call('HSET', state, 'run', run, 'promotion', promotion, 'generation', generation)
end
local found = redis.call('HMGET', counter, 'generation', 'epoch', 'offset', 'period')
local epoch, offset = found[2], tonumber(found[3] or '')
if found[1] ~= generation or not epoch or not offset then
  epoch, offset = string.sub(redis.sha1hex(fresh .. counter), 1, 16), 0
  redis.call('HSET', counter, 'generation', generation, 'epoch', epoch, 'offset', 0, 'period', period)
  redis.call('UNLINK', history)
  redis.call('EXPIRE', counter, kept)
elseif found[4] ~= period then
  redis.call('HSET', counter, 'period', period)
  redis.call('EXPIRE', counter, kept)
end

-- Before history keeps it: an event that may not be published must not be found there.
local allowed = redis.pcall('PUBLISH', on .. '?', '')
if type(allowed) == 'table' and allowed.err then
  return allowed
end
offset = offset + 1
local at = epoch .. '-' .. string.format('%.0f', offset)
if id ~= '' then
  local key = start .. 'i:' .. stream .. ':' .. escape(id)
  local before = redis.call('SET', key, at, 'NX', 'GET', 'EX', known_seconds)
  if before then
    return before
  end
end
-- The position is stored before the event is told of: no error may let it be used again.
redis.call('HSET', counter, 'offset', string.format('%.0f', offset))
if kept_events > 0 then
  redis.call('XADD', history, 'MAXLEN', '~', kept_events, string.format('%.0f-0', offset), 'e', event)
  redis.call('EXPIRE', history, kept_seconds)
end
redis.call('PUBLISH', on, at .. ' ' .. event)
return at
