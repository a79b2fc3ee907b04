-- The budget granted a task's launch: it is rung to use the grant. Answers 1, or 0 when nobody waits for it any more, or the task is to wait itself.
-- KEYS: run, history, delayed, marker   ARGV: run id, channel, task `step.index`
local run, t = KEYS[1], ARGV[3]
local v = redis.call('HMGET', run, 'state', 'p:' .. t, 'o:' .. t, 'dl:' .. t)
local phase = v[2] or 'new'
if v[1] ~= 'running' or not (phase == 'throttle' or phase == 'new' or phase == 'backoff') or v[3] then return 0 end
-- put off meanwhile: the grant would come back unused and be given again, and again until it is due
if phase == 'backoff' and tonumber(v[4] or '0') > now then return 0 end
redis.call('HSET', run, 'g:' .. t, now)
wake(KEYS[3], KEYS[4], ARGV[1] .. '.' .. t)
return 1
