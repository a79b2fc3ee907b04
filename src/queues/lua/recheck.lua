-- Runs in the MULTI of a park, right after BullMQ's moveToDelayed: rings at once when anything that the decision
-- saw is different now, so that no change can fall between the decision and the park.
-- KEYS: run, history, delayed, marker   ARGV: run id, channel, task `step.index`, seen
local t = ARGV[3]
local v = redis.call('HMGET', KEYS[1], 'state', 'cancel', 'failing', 'rel', 'o:' .. t, 'x:' .. t, 'g:' .. t)
if v[1] then redis.call('HDEL', KEYS[1], 'c:' .. t) end
if v[1] and view(v[1], v[2], v[3], v[4], v[5], v[6], v[7]) == ARGV[4] then return 0 end
return wake(KEYS[3], KEYS[4], ARGV[1] .. '.' .. t)
