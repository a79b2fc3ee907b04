-- The tenant's bucket refuses this run and takes another: it waits in a pile of its own from now on, since when it waited before.
-- KEYS: unexported, unexported of the resource, unexported of the run's own pile   ARGV: run id, resource, own pile, ms until it is tried again
local since = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not since then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('ZREM', KEYS[1], ARGV[2]) end
-- one that is there has been refused before, and something came to the run since
redis.call('ZADD', KEYS[3], 'NX', since, ARGV[1])
redis.call('ZADD', KEYS[1], 'NX', now + tonumber(ARGV[4]), ARGV[3])
return 1
