-- The tenant's bucket has refused a run's export for so long that it is given up. The run tells so, and may leave Redis when it is archived with that.
-- KEYS: run, history, unexported, unexported of the pile   ARGV: run id, channel, why, pile
redis.call('ZREM', KEYS[4], ARGV[1])
if redis.call('EXISTS', KEYS[4]) == 0 then redis.call('ZREM', KEYS[3], ARGV[4]) end
local v = redis.call('HMGET', KEYS[1], 'end', 'stub', 'noexp')
if not v[1] or v[2] then return 0 end
if v[3] then
  -- given up before, and back in a pile: the archive has it with that, unless it waits for just that
  if not redis.call('ZSCORE', string.match(KEYS[1], '^{[^}]*}') .. ':unarchived', ARGV[1]) then redis.call('HSETNX', KEYS[1], 'arch', now) end
  return 0
end
redis.call('HSET', KEYS[1], 'noexp', 1)
log('unexported', '', 0, ARGV[3])
archive_again()
return 1
