-- Publishes a batch. KEYS: 2 and 3 counter and history of the first stream, and so on, then the key of
-- each event's id. ARGV: 6 how many events history keeps (0: none), 7 for how long (seconds), 8 how long
-- ids are kept (seconds), 9 PUBLISH or SPUBLISH, 10 the number of streams, then the channel of each
-- stream, then the number of the stream and the envelope of each event.
-- Returns the position of each event, or '!' and an error.
local events, age, known, publish = tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9]
local count = tonumber(ARGV[10])
local streams, results, fresh_events = {}, {}, {}
for i = 1, count do
  local counter, history = KEYS[2 * i], KEYS[2 * i + 1]
  local channel = ARGV[10 + i]
  local is_found, epoch, offset = pcall(head, counter, history, true)
  local refused
  if is_found then
    -- Checks the permission to publish before history stores an event: a refused event must not be read
    -- later. The channel has no subscriber, and needs the same permission as that of the stream.
    local allowed = redis.pcall(publish, channel .. '?', '')
    refused = type(allowed) == 'table' and allowed.err
  else
    -- The other streams of the batch are not affected.
    refused = type(epoch) == 'table' and epoch.err or tostring(epoch)
    offset = 0
  end
  streams[i] = {
    counter = counter, history = history, channel = channel,
    epoch = epoch, first = offset, offset = offset, refused = refused,
  }
end

-- Offsets are stored before the first event is published, so that none is used again after an error.
local argument, result = 11 + count, 0
for key = 2 * count + 2, #KEYS do
  result = result + 1
  local stream = streams[tonumber(ARGV[argument])]
  if stream.refused then
    results[result] = '!' .. stream.refused
  else
    local at = position(stream.epoch, stream.offset + 1)
    local known_as = redis.pcall('SET', KEYS[key], at, 'NX', 'GET', 'EX', known)
    if type(known_as) == 'table' then
      results[result] = '!' .. known_as.err
    elseif known_as then
      results[result] = known_as
    else
      stream.offset = stream.offset + 1
      results[result] = at
      fresh_events[#fresh_events + 1] = { result, stream, stream.offset, KEYS[key], ARGV[argument + 1] }
    end
  end
  argument = argument + 2
end
for i = 1, count do
  local stream = streams[i]
  if stream.offset > stream.first then
    local reply = redis.pcall('HSET', stream.counter, 'offset', string.format('%.0f', stream.offset))
    stream.refused = type(reply) == 'table' and reply.err
  end
end

-- An event that was not published has no position: it may be published again.
local function forget(event, reason)
  redis.pcall('DEL', event[4])
  results[event[1]] = '!' .. reason
end

-- Events of one stream that follow each other are one message: '<position of the first> <envelope>', or
-- '<position of the first>*<length>,<length> <envelope><envelope>' (bytes).
local MESSAGE_BYTES = 65536
local message
local function publish_message()
  local text = message.at
  if #message.envelopes > 1 then
    text = text .. '*' .. table.concat(message.lengths, ',')
  end
  local reply = redis.pcall(publish, message.stream.channel, text .. ' ' .. table.concat(message.envelopes))
  if type(reply) == 'table' and reply.err then
    for _, event in ipairs(message.events) do
      forget(event, reply.err)
    end
  end
  message = nil
end

for _, event in ipairs(fresh_events) do
  local stream, envelope = event[2], event[5]
  local reply = stream.refused and { err = stream.refused }
  if not reply and events > 0 then
    local id = string.format('%.0f-0', event[3])
    reply = redis.pcall('XADD', stream.history, 'MAXLEN', '~', events, id, 'e', envelope)
  end
  local follows = message and message.stream == stream and message.last + 1 == event[3]
  if message and not (follows and message.bytes + #envelope <= MESSAGE_BYTES) then
    publish_message()
  end
  if type(reply) == 'table' and reply.err then
    forget(event, reply.err)
  else
    message = message or { stream = stream, at = results[event[1]], bytes = 0, lengths = {}, envelopes = {}, events = {} }
    message.last, message.bytes = event[3], message.bytes + #envelope
    table.insert(message.lengths, #envelope)
    table.insert(message.envelopes, envelope)
    table.insert(message.events, event)
  end
end
if message then
  publish_message()
end
if events > 0 then
  for i = 1, count do
    if streams[i].offset > streams[i].first then
      -- The events are published: an error here is none of theirs.
      redis.pcall('EXPIRE', streams[i].history, age)
    end
  end
end
return results
