-- Why launches of a resource wait, and how many of the account's others go first: state (paused|concurrency|budget), tokens now, resources
-- in the ring, milliseconds blocked, limit, held, then for each task its place in the resource's list or -1.
-- KEYS: budget   ARGV: per hour, burst, resource, task, task …
local resource = ARGV[3]
local level, blocked = tokens()
local limit = tonumber(redis.call('HGET', limits, resource) or '0')
local held = redis.call('ZCARD', held_of(resource))
local why = 'budget'
if redis.call('SISMEMBER', paused, resource) == 1 then why = 'paused' elseif limit > 0 and held >= limit then why = 'concurrency' end
local out = { why, tostring(level), redis.call('ZCARD', ring), math.max(0, tonumber(blocked or '0') - now), limit, held,
  redis.call('ZCARD', waiting_of(resource)) }
for k = 4, #ARGV do out[#out + 1] = redis.call('ZRANK', waiting_of(resource), ARGV[k]) or -1 end
return out
