-- The platform accepted the launch (or an unknown one was found): the deadline starts now. Answers 'closed' when this
-- attempt is no longer the one that waits; its dyno is then on the list of dynos to stop.
-- KEYS: run, history, delayed, marker, watch, watched, stops
-- ARGV: run id, channel, task, attempt, timeout ms, dyno id, dyno name, no_output 0|1, up 0|1, resource,
--   adopted 0 (the answer) | 1 (found in the list) | 2 (told by an event, which may overtake the answer)
local run, t = KEYS[1], ARGV[3]
local id = ARGV[1] .. '.' .. t
local v = redis.call('HMGET', run, 'p:' .. t, 'a:' .. t, 'dy:' .. t, 'o:' .. t, 'end', 'rn:' .. t)
local dyno = ARGV[6] .. '|' .. ARGV[7]

-- Its intent was not told while it was refused too often (enter.lua): now it has come to something.
local function tell(what)
  if tonumber(v[6] or '0') >= MOST_REFUSALS then log('intent', t, ARGV[4]) end
  log(what, t, ARGV[4], ARGV[7])
end

redis.call('HDEL', KEYS[5], '?' .. id .. '/' .. ARGV[4])
if v[2] == ARGV[4] and (v[1] == 'await' or v[1] == 'cool') and v[3] and string.sub(v[3], 1, #dyno) == dyno then return 'ok' end
if v[2] == ARGV[4] and v[1] == 'succeeded' then
  -- its output came before the answer to the POST: the dyno of a succeeded attempt lives on
  if not v[3] then
    redis.call('HSET', run, 'dy:' .. t, dyno .. '|' .. now)
    tell('launched')
    archive_again()
  end
  return 'ok'
end
if v[2] ~= ARGV[4] or not (v[1] == 'intent' or v[1] == 'cool') then
  redis.call('ZADD', KEYS[7], now, ARGV[10] .. '|' .. dyno)
  if v[1] then
    log('superseded', t, ARGV[4], ARGV[7])
    archive_again()
  end
  return 'closed'
end
if v[1] == 'intent' then
  redis.call('HSET', run, 'p:' .. t, 'await', 'dl:' .. t, now + tonumber(ARGV[5]))
  redis.call('HSET', KEYS[5], ARGV[6], id .. '|' .. ARGV[4] .. '|' .. ARGV[8] .. '|' .. ARGV[7])
  redis.call('SADD', KEYS[6], ARGV[10])
end
-- names repeat over time: the moment of the launch tells whose log lines are whose
redis.call('HSET', run, 'dy:' .. t, dyno .. '|' .. now)
redis.call('HDEL', run, 'x:' .. t, 'c:' .. t, 'i:' .. t, 'r:' .. t)
tell(ARGV[11] == '1' and 'adopted' or 'launched')
if ARGV[9] == '1' then
  log('up', t, ARGV[4], ARGV[7])
  redis.call('HSET', run, 'up:' .. t, ARGV[4])
  if ARGV[8] == '1' and not v[4] then redis.call('HSET', run, 'o:' .. t, now .. '|') end
end
if ARGV[11] ~= '0' then wake(KEYS[3], KEYS[4], id) end
return 'ok'
