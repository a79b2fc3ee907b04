-- A task does not hold (or want) a launch any more. With refund its token comes back: it was granted and nothing was sent.
-- Answers whether launches of the resource wait for what became free.
-- KEYS: budget   ARGV: per hour, burst, task id, resource, refund 0|1,
--       only '' | grant: while its grant is not used, by its granter, which may be late | place: its place in the list, what it holds stays,
--       from, to: when it was given (ms) what is let go of, else nothing is; both empty: whenever that was
local task, resource, only = ARGV[3], ARGV[4], ARGV[6]
local held = held_of(resource)
if only == 'place' then
  redis.call('ZREM', waiting_of(resource), task)
  return 0
end
if ARGV[8] ~= '' then
  -- who was late, or looked before, may mean an earlier launch of the task than the one that counts now
  local since = tonumber(redis.call('ZSCORE', held, task) or '-1')
  if since < tonumber(ARGV[7]) or since > tonumber(ARGV[8]) then return 0 end
end
if redis.call('ZREM', grants, task) == 0 and only == 'grant' then return 0 end
redis.call('HDEL', info, task)
local had = redis.call('ZREM', held, task)
redis.call('ZREM', waiting_of(resource), task)
if ARGV[5] == '1' and had == 1 then
  save(math.min(burst, tokens() + 1))
  redis.call('HINCRBY', B, 'returned', 1)
  redis.call('HINCRBY', B, 'launches', -1)
end
enter_ring(resource)
return redis.call('ZSCORE', ring, resource) and 1 or 0
