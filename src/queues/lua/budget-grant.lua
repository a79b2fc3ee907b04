-- Hands out the tokens there are, the resources in turn, one task each. A grant that is not used within its time comes back to
-- the head of its list with its token. Answers milliseconds until it is worth calling again (-1: nothing waits that tokens
-- could help), then task, resource, task, resource …
-- KEYS: budget   ARGV: per hour, burst, milliseconds that a grant holds, grants at most
local level, blocked = tokens()
for _, task in ipairs(redis.call('ZRANGEBYSCORE', grants, '-inf', now, 'LIMIT', 0, 100)) do
  local seq, resource = string.match(redis.call('HGET', info, task) or '', '^([^|]*)|(.*)$')
  if resource then
    take_back(task, resource, seq)
    level = math.min(burst, level + 1)
    enter_ring(resource)
  else
    redis.call('ZREM', grants, task)
  end
end
local out = {}
-- a token that came back must not go out again while the platform refuses
local shut = blocked and now < tonumber(blocked)
while not shut and level >= 1 and #out < 2 * tonumber(ARGV[4]) do
  local resource = redis.call('ZRANGE', ring, 0, 0)[1]
  if not resource then break end
  local waiting = waiting_of(resource)
  local first = free(resource) and redis.call('ZPOPMIN', waiting) or {}
  if not first[1] then
    redis.call('ZREM', ring, resource)
  else
    level = level - 1
    redis.call('ZADD', held_of(resource), now, first[1])
    redis.call('ZADD', grants, now + tonumber(ARGV[3]), first[1])
    redis.call('HSET', info, first[1], first[2] .. '|' .. resource)
    redis.call('HINCRBY', B, 'launches', 1)
    if redis.call('ZCARD', waiting) == 0 then
      redis.call('ZREM', ring, resource)
    else
      redis.call('ZADD', ring, redis.call('HINCRBY', B, 'turn', 1), resource)
    end
    out[#out + 1] = first[1]
    out[#out + 1] = resource
  end
end
save(level)
local again = -1
if redis.call('ZCARD', ring) > 0 then
  again = level >= 1 and 0 or math.ceil((1 - level) / per_ms)
  if blocked and tonumber(blocked) > now then again = again + tonumber(blocked) - now end
elseif redis.call('ZCARD', grants) > 0 then
  again = tonumber(ARGV[3])
end
return { again, unpack(out) }
