-- A resource of which nothing waits and nothing is held is taken off the list of those that have anything, with its limit: the next request
-- notes both again, and of a removed resource there is none. Answers whether it was.
-- KEYS: budget   ARGV: per hour, burst, resource
local resource = ARGV[3]
if redis.call('EXISTS', waiting_of(resource)) == 1 or redis.call('EXISTS', held_of(resource)) == 1 then return 0 end
redis.call('ZREM', ring, resource)
redis.call('HDEL', limits, resource)
return redis.call('SREM', B .. ':resources', resource)
