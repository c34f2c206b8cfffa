-- Stands before each script. KEYS[1] is what is known of the partition, ARGV: 1 the run of the server,
-- 2 a number that no numbering has had, 3 the period of renewal, 4 how long a counter is kept (seconds),
-- 5 the run of the server from which a cluster has moved the partition here, where that one goes on.
--
-- A server that was restarted, or promoted, has another run: what it has stored may be older than what
-- was told to nodes. Every numbering of the partition ends with the run. Keys that were moved are not
-- older: nothing was published while they were.
--
-- So does a master that was a replica for a while, and has lost what it had by that: its run is the same,
-- and its replication id is another one (it changes with each promotion).
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

-- How long a counter is kept that has counted no event (seconds): longer than nodes leave a stream that
-- they carry unasked. Strangers may subscribe to any number of channels on which nothing is published.
local UNUSED = 600

-- The epoch and the newest offset of a stream. A counter that is missing, such as one that was evicted,
-- begins a new epoch: an offset is never used twice in one. is_counting: whether the caller has an event.
local function head(counter, history, is_counting)
  local found = redis.call('HMGET', counter, 'generation', 'epoch', 'offset', 'period')
  local epoch, offset = found[2], tonumber(found[3] or '')
  if found[1] ~= generation or not epoch or not offset then
    -- Each stream has its own: an id of one is no position in another.
    epoch, offset = string.sub(redis.sha1hex(fresh .. counter), 1, 16), 0
    -- First: a server that is full refuses it, and refuses nothing after a script's first write.
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
