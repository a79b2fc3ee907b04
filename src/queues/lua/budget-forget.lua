-- Nothing of a resource that is gone is left in the budget: its place in the ring, its limit, a pause, what waits and what was granted.
-- KEYS: budget   ARGV: per hour, burst, resource
local resource = ARGV[3]
for _, task in ipairs(redis.call('ZRANGE', grants, 0, -1)) do
  local of = string.match(redis.call('HGET', info, task) or '', '^[^|]*|(.*)$')
  if of == resource then
    redis.call('ZREM', grants, task)
    redis.call('HDEL', info, task)
  end
end
redis.call('ZREM', ring, resource)
redis.call('SREM', paused, resource)
redis.call('HDEL', limits, resource)
redis.call('SREM', B .. ':resources', resource)
redis.call('DEL', waiting_of(resource), held_of(resource))
return 1
