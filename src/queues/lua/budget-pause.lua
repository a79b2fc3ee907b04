-- Holds a resource's launches, or lets them go. Answers whether that changed anything.
-- KEYS: budget   ARGV: per hour, burst, resource, on 0|1
local resource = ARGV[3]
if ARGV[4] == '1' then
  redis.call('ZREM', ring, resource)
  return redis.call('SADD', paused, resource)
end
local changed = redis.call('SREM', paused, resource)
enter_ring(resource)
return changed
