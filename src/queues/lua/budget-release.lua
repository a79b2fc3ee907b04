-- A task does not hold (or want) a launch any more. With refund its token comes back: it was granted and nothing was sent.
-- Answers whether launches of the resource wait for what became free.
-- KEYS: budget   ARGV: per hour, burst, task id, resource, refund 0|1, 1 = only while its grant is not used: by its granter, which may be late
local task, resource = ARGV[3], ARGV[4]
if redis.call('ZREM', grants, task) == 0 and ARGV[6] == '1' then return 0 end
redis.call('HDEL', info, task)
local had = redis.call('ZREM', held_of(resource), task)
redis.call('ZREM', waiting_of(resource), task)
if ARGV[5] == '1' and had == 1 then
  save(math.min(burst, tokens() + 1))
  redis.call('HINCRBY', B, 'returned', 1)
  redis.call('HINCRBY', B, 'launches', -1)
end
enter_ring(resource)
return redis.call('ZSCORE', ring, resource) and 1 or 0
