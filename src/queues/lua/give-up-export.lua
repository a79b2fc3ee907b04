-- The tenant's bucket has refused a run's export for so long that it is given up. The run tells so, and may leave Redis when it is archived with that.
-- KEYS: run, history   ARGV: run id, channel, why
local v = redis.call('HMGET', KEYS[1], 'end', 'stub', 'noexp')
if not v[1] or v[2] or v[3] then return 0 end
redis.call('HSET', KEYS[1], 'noexp', 1)
log('unexported', '', 0, ARGV[3])
archive_again()
return 1
