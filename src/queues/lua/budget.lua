-- Stands before every budget script, after the prelude. KEYS[1] = the account's budget (hash); every other key is spelled
-- from it and shares its hash tag. ARGV[1] = calls per hour, ARGV[2] = the most tokens that may be saved up.
-- hash: level, at (tokens and the time they were counted), plevel, pat (the share of polls), blocked (the platform said
-- 429: nothing refills until then), seq, turn, launches, calls, polls, returned (counters)
local B = KEYS[1]
local per_ms, burst = tonumber(ARGV[1]) / 3600000, tonumber(ARGV[2])
local ring, grants, info, paused, limits = B .. ':ring', B .. ':grants', B .. ':granted', B .. ':paused', B .. ':limits'
local function waiting_of(resource) return B .. ':wait:' .. resource end
local function held_of(resource) return B .. ':held:' .. resource end

local function refilled(level, at, blocked)
  if blocked and now < tonumber(blocked) then return 0 end
  local since = math.max(tonumber(at or '0'), tonumber(blocked or '0'))
  return math.min(burst, tonumber(level or burst) + math.max(0, now - since) * per_ms)
end

local function tokens()
  local v = redis.call('HMGET', B, 'level', 'at', 'blocked')
  return refilled(v[1], v[2], v[3]), v[3]
end

local function save(level)
  redis.call('HSET', B, 'level', string.format('%.6f', level), 'at', now)
end

-- Whether a launch of this resource may begin, tokens aside.
local function free(resource)
  if redis.call('SISMEMBER', paused, resource) == 1 then return false end
  local limit = tonumber(redis.call('HGET', limits, resource) or '0')
  return limit == 0 or redis.call('ZCARD', held_of(resource)) < limit
end

-- A resource with waiting launches that may begin stands in the ring, at the end when it comes anew.
local function enter_ring(resource)
  if redis.call('ZSCORE', ring, resource) then return end
  if redis.call('ZCARD', waiting_of(resource)) == 0 or not free(resource) then return end
  redis.call('ZADD', ring, redis.call('HINCRBY', B, 'turn', 1), resource)
end

-- Notes how many dynos the plan allows. What waits and may begin by it stands in the ring from then on: a new task of the resource must not overtake it.
-- It is put there whether or not the limit is news: a worker of an earlier version may have noted it and no more.
-- Answers 1 when it came into the ring by that.
local function set_limit(resource, limit)
  if redis.call('HGET', limits, resource) ~= limit then redis.call('HSET', limits, resource, limit) end
  local stood = redis.call('ZSCORE', ring, resource)
  enter_ring(resource)
  return not stood and redis.call('ZSCORE', ring, resource) and 1 or 0
end

-- What was granted and not used in time, or not wanted: its token comes back, and with `seq` its place in the list.
local function take_back(task, resource, seq)
  redis.call('ZREM', grants, task)
  redis.call('HDEL', info, task)
  redis.call('ZREM', held_of(resource), task)
  if seq then redis.call('ZADD', waiting_of(resource), seq, task) end
  redis.call('HINCRBY', B, 'returned', 1)
  redis.call('HINCRBY', B, 'launches', -1)
end
