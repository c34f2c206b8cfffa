-- Precedes each script. KEYS: 1 the state of the partition. ARGV: 1 the run id of the server, 2 a random
-- number for new generations, 3 the period of renewal, 4 how long a counter is kept (seconds), 5 the run id
-- of the server from which a cluster has moved the partition here, if that server still works.
--
-- A server that was restarted or promoted has another run id. Its data may be older than the events that
-- nodes have received, so all epochs of the partition end. Keys that a cluster has moved are not older:
-- nothing is published while they move.
--
-- The epochs also end on a master that was a replica for a while, and has lost its own data by that. Its
-- run id is the same, but its replication id is not: that changes with each promotion.
local run, fresh, period, kept, former = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local replication = redis.pcall('INFO', 'replication')
local promotion = type(replication) == 'string' and string.match(replication, 'master_replid:(%x+)')
promotion = promotion or ''
local partition = redis.call('HMGET', KEYS[1], 'run', 'promotion', 'generation')
local generation = partition[3]
if partition[1] ~= run or partition[2] ~= promotion or not generation then
  if not generation or partition[1] ~= former then
    generation = fresh
  end
  redis.call('HSET', KEYS[1], 'run', run, 'promotion', promotion, 'generation', generation)
end

-- How long the counter of a stream without events is kept (seconds): longer than the time between two
-- audits of a stream by the nodes. Clients may subscribe to any number of channels without events.
local UNUSED = 600

-- Returns the epoch and the newest offset of a stream. If the counter is missing, for example because it
-- was evicted, a new epoch starts: an epoch never uses an offset twice. is_counting: whether the caller
-- publishes an event.
local function head(counter, history, is_counting)
  local found = redis.call('HMGET', counter, 'generation', 'epoch', 'offset', 'period')
  local epoch, offset = found[2], tonumber(found[3] or '')
  if found[1] ~= generation or not epoch or not offset then
    -- Each stream has its own epochs, so that a position of one stream is never valid in another.
    epoch, offset = string.sub(redis.sha1hex(fresh .. counter), 1, 16), 0
    -- The first write: a full server refuses it, but refuses no later write of the same script.
    found[4] = ''
    redis.call('HSET', counter, 'generation', generation, 'epoch', epoch, 'offset', 0, 'period', '')
    redis.call('UNLINK', history)
  end
  if offset == 0 and not is_counting then
    if found[4] ~= '' then
      redis.call('HSET', counter, 'period', '')
    end
    redis.call('EXPIRE', counter, UNUSED)
  elseif found[4] ~= period then
    redis.call('HSET', counter, 'period', period)
    redis.call('EXPIRE', counter, kept)
  end
  return epoch, offset
end

local function position(epoch, offset)
  return epoch .. '-' .. string.format('%.0f', offset)
end
