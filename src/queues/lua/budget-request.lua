-- A task wants to launch. Answers 'granted' (a token is spent for it, and it counts against the resource's concurrency) or
-- 'queued', and how many launches of the resource are outstanding.
-- KEYS: budget   ARGV: per hour, burst, task id, resource, concurrency (0: no limit)
local task, resource, limit = ARGV[3], ARGV[4], tonumber(ARGV[5])
local waiting, held = waiting_of(resource), held_of(resource)
set_limit(resource, ARGV[5])
if redis.call('ZREM', grants, task) == 1 then
  redis.call('HDEL', info, task)
  return { 'granted', redis.call('ZCARD', held) }
end
-- an activation that died between its grant and its launch: its token is gone, so it asks like anybody else
redis.call('ZREM', held, task)
local level = tokens()
local running = redis.call('ZCARD', held)
if level >= 1 and redis.call('ZCARD', ring) == 0 and redis.call('ZCARD', grants) == 0 and (limit == 0 or running < limit)
  and redis.call('SISMEMBER', paused, resource) == 0 then
  redis.call('ZREM', waiting, task)
  save(level - 1)
  redis.call('ZADD', held, now, task)
  redis.call('HINCRBY', B, 'launches', 1)
  redis.call('SADD', B .. ':resources', resource)
  return { 'granted', running + 1 }
end
if not redis.call('ZSCORE', waiting, task) then
  redis.call('ZADD', waiting, redis.call('HINCRBY', B, 'seq', 1), task)
  redis.call('SADD', B .. ':resources', resource)
end
enter_ring(resource)
return { 'queued', running + redis.call('ZCARD', waiting) }
