-- Stands before every transition. KEYS[1] = run record (hash), KEYS[2] = its history (list); ARGV[1] = run id,
-- ARGV[2] = pub/sub channel. The clock is Redis' own, so a worker's clock decides nothing.

-- While a slot moves to another node of a cluster (a reshard), each of the two has a part of its keys: Redis ends a script at the first key that it
-- does not find and takes back nothing of what was written, and on the other node it writes beside what has not come yet. So none begins.
-- Two keys that nobody has are refused by either node while their slot moves, and only then. With TRYAGAIN ioredis asks again.
do
  local slot = string.match(KEYS[1], '^{[^}]*}') or '{' .. KEYS[1] .. '}'
  local found = redis.pcall('EXISTS', slot .. ':moves', slot .. ':moved')
  if type(found) == 'table' then
    -- before Redis 7 a script has no error of a name of its own
    if redis.REDIS_VERSION_NUM and string.find(found.err, 'non local key', 1, true) then
      error({ err = 'TRYAGAIN The slot of ' .. KEYS[1] .. ' moves to another node.' })
    end
    redis.call('EXISTS', slot .. ':moves', slot .. ':moved')
  end
end

local now
do
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Runs and tasks that are remembered of one file: a key that is written again and again must not grow its lists for ever.
local MOST_OF_FILE = 1000

-- Refusals of a task that are listed, its intents with them: an account that has no calls for days must not grow the history without end. Those of
-- 200 tasks are a few megabytes, far below what is read of an archived run (archived-run.ts).
local MOST_REFUSALS = 50

-- Appends to the run's history and tells who listens. Entry: [ms, what, task, attempt, detail].
local function log(what, task, attempt, detail)
  local entry = cjson.encode({ now, what, task or '', tonumber(attempt) or 0, detail or '' })
  local n = redis.call('RPUSH', KEYS[2], entry)
  local message = '["' .. ARGV[1] .. '",' .. n .. ',' .. entry .. ']'
  redis.call('PUBLISH', ARGV[2], message)
  if what == 'output' or what == 'cancelling' then redis.call('PUBLISH', ARGV[2] .. ':wakes', message) end
end

-- Rings a parked task. A parked task stands in BullMQ's delayed set; a score of 0 makes it due by any clock, and
-- the marker wakes a worker, which moves due jobs to the wait list by BullMQ's own script. The truth was written
-- before in this same script, so record and bell are one atom. A task that is not parked needs no bell: an active
-- one compares what it saw when it parks (recheck.lua), a waiting one reads the record when it runs.
-- tests/engine/bullmq-contract.test.ts holds this against the pinned version.
local function wake(delayed, marker, id)
  if redis.call('ZSCORE', delayed, id) then
    redis.call('ZADD', delayed, 0, id)
    redis.call('ZADD', marker, 0, '0')
    return 1
  end
  return 0
end

-- What a decision saw of the record. A park made on it is undone when this differs afterwards.
local function view(state, cancel, failing, rel, out, death, grant)
  return (state or '') .. '|' .. (cancel or '') .. '|' .. (failing and '1' or '') .. '|' .. (rel or '0') .. '|' .. (out and '1' or '')
    .. '|' .. (death or '') .. '|' .. (grant or '')
end

-- The run has ended: it waits to be archived, and no part of it goes before that (archived.lua, retire.lua). The key is built
-- here: its tag is that of the run's own key.
local function archive_later()
  redis.call('ZADD', string.match(KEYS[1], '^{[^}]*}') .. ':unarchived', now, ARGV[1])
end

-- Something came after the end of the run: it is archived once more, when the next of that kind may have come, too. `late` tells what was read
-- before from what stands.
local function archive_again()
  if redis.call('HEXISTS', KEYS[1], 'end') == 0 then return end
  redis.call('HINCRBY', KEYS[1], 'late', 1)
  redis.call('HDEL', KEYS[1], 'arch')
  redis.call('ZADD', string.match(KEYS[1], '^{[^}]*}') .. ':unarchived', now + 2000, ARGV[1])
end

-- Keys of a resource's lists. They are built here, since not every caller knows the resource; the tag of the run's own key
-- keeps them in its slot. src/queues/keys.ts spells the same names.
local function list_key(what, resource)
  return string.match(KEYS[1], '^{[^}]*}') .. ':' .. what .. ':' .. resource
end

-- Tells who follows the resource that a run is in another state: a bounded stream to resume from, and a ring.
local function feed(resource, state)
  redis.call('XADD', list_key('feed', resource), 'MAXLEN', '~', 1000, '*', 'run', ARGV[1], 'state', state)
  redis.call('PUBLISH', string.match(KEYS[1], '^{[^}]*}') .. ':feed', resource)
end

-- The run's state changed: keeps the lists of the resource's runs by state. `from`: the state before, nil for a new run.
local function list_state(from, to)
  local v = redis.call('HMGET', KEYS[1], 'resource', 'at')
  if not v[1] then return end
  if from then redis.call('ZREM', list_key('state:' .. from, v[1]), ARGV[1]) end
  redis.call('ZADD', list_key('state:' .. to, v[1]), v[2], ARGV[1])
  feed(v[1], to)
end

-- One task more, or less, waits for its next attempt: the run is listed as retrying while there is any.
local function list_retrying(change)
  local count = redis.call('HINCRBY', KEYS[1], 'bo', change)
  if count > 1 or (count == 1 and change < 0) then return end
  local v = redis.call('HMGET', KEYS[1], 'resource', 'at')
  if not v[1] then return end
  if change > 0 then
    redis.call('ZADD', list_key('state:retrying', v[1]), v[2], ARGV[1])
    feed(v[1], 'retrying')
  else
    redis.call('ZREM', list_key('state:retrying', v[1]), ARGV[1])
    feed(v[1], 'running')
  end
end

-- Whether this is another start of Redis than the one that has the rest of what a caller does (empty: it does not say): the command was sent again
-- to one that may have lost that rest.
local function on_another_start(start)
  return start and start ~= '' and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') ~= start
end

-- Accounts for an object version: the sweep finds it decided. `digest`: eight bytes, or empty for none; those of one hour stand in one
-- string, which is kept for `ms`. src/queues/ledger.ts reads them.
local function account_for(key, digest, ms)
  if digest == '' then return end
  local hour = key .. ':' .. math.floor(now / 3600000)
  if redis.call('APPEND', hour, digest) == #digest then redis.call('PEXPIRE', hour, ms) end
end

local function settled(phase)
  return phase == 'succeeded' or phase == 'failed' or phase == 'skipped'
end
