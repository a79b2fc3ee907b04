-- A task wants to launch. Answers 'granted' (a token is spent for it, and it counts against the resource's concurrency) or
-- 'queued', how many launches of the resource are outstanding, and when what it holds was given; or 'holds' when it was given a launch of
-- which the caller knows nothing: another activation may have made it, so it stays.
-- KEYS: budget   ARGV: per hour, burst, task id, resource, concurrency (0: no limit),
--       as of when (ms) the record said that the task has no launch; 0: it was not asked, empty: whatever it holds is the caller's
local task, resource, limit = ARGV[3], ARGV[4], tonumber(ARGV[5])
local waiting, held = waiting_of(resource), held_of(resource)
set_limit(resource, ARGV[5])
local before = redis.call('ZSCORE', held, task)
if redis.call('ZREM', grants, task) == 1 then
  redis.call('HDEL', info, task)
  return { 'granted', redis.call('ZCARD', held), before or '0' }
end
if before and ARGV[6] ~= '' and tonumber(before) > tonumber(ARGV[6]) then return { 'holds', redis.call('ZCARD', held), before } end
-- an activation that died between its grant and its launch: its token is gone, so it asks like anybody else
redis.call('ZREM', held, task)
local level = tokens()
local running = redis.call('ZCARD', held)
if level >= 1 and redis.call('ZCARD', ring) == 0 and redis.call('ZCARD', grants) == 0 and (limit == 0 or running < limit)
  and redis.call('SISMEMBER', paused, resource) == 0 then
  redis.call('ZREM', waiting, task)
  save(level - 1)
  -- no two launches of a task are given at the same time: by it who gives one back tells which
  local at = math.max(now, tonumber(before or '0') + 1)
  redis.call('ZADD', held, at, task)
  redis.call('HINCRBY', B, 'launches', 1)
  redis.call('SADD', B .. ':resources', resource)
  return { 'granted', running + 1, string.format('%.0f', at) }
end
if not redis.call('ZSCORE', waiting, task) then
  redis.call('ZADD', waiting, redis.call('HINCRBY', B, 'seq', 1), task)
  redis.call('SADD', B .. ':resources', resource)
end
enter_ring(resource)
return { 'queued', running + redis.call('ZCARD', waiting), '0' }
