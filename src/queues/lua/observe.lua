-- What the dyno list (or a webhook) shows of a task's dyno: up, gone or crashed. Counts only for the attempt that waits.
-- KEYS: run, history, delayed, marker, watch   ARGV: run id, channel, task, attempt, kind, dyno id, no_output 0|1
local run, t = KEYS[1], ARGV[3]
local v = redis.call('HMGET', run, 'p:' .. t, 'a:' .. t, 'o:' .. t, 'x:' .. t, 'up:' .. t)
if v[1] ~= 'await' or v[2] ~= ARGV[4] then
  redis.call('HDEL', KEYS[5], ARGV[6])
  return 'late'
end
if ARGV[5] == 'up' then
  if v[5] == ARGV[4] then return 'known' end
  redis.call('HSET', run, 'up:' .. t, ARGV[4])
  log('up', t, ARGV[4])
  if ARGV[7] == '1' and not v[3] then
    redis.call('HSET', run, 'o:' .. t, now .. '|')
    wake(KEYS[3], KEYS[4], ARGV[1] .. '.' .. t)
  end
  return 'ok'
end
redis.call('HDEL', KEYS[5], ARGV[6])
if v[4] then return 'known' end
redis.call('HSET', run, 'x:' .. t, now .. '|' .. ARGV[5])
log('exited', t, ARGV[4], ARGV[5])
wake(KEYS[3], KEYS[4], ARGV[1] .. '.' .. t)
return 'ok'
