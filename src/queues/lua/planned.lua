-- The last word of the MULTI that makes a tree: the run is running only when all of the tree stands. EXEC undoes nothing
-- when one of its scripts fails, so without this a record could be running with half a tree, or none, for ever.
-- KEYS: run   ARGV: run id, channel, key of the root job, prefix of the keys of task jobs
local v = redis.call('HMGET', KEYS[1], 'state', 'steps')
if v[1] ~= 'accepted' then return 'late' end
if redis.call('EXISTS', ARGV[3]) == 0 then return 'incomplete' end
for s = 0, tonumber(v[2]) - 1 do
  for i = 0, tonumber(redis.call('HGET', KEYS[1], 'n' .. s)) - 1 do
    if redis.call('EXISTS', ARGV[4] .. ARGV[1] .. '.' .. s .. '.' .. i) == 0 then return 'incomplete' end
  end
end
redis.call('HSET', KEYS[1], 'state', 'running')
list_state('accepted', 'running')
return 'planned'
