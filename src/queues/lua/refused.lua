-- The platform definitely refused the launch, or it is given up as lost.
-- heal: time heals it; the attempt is free again after the delay. unsent: the same, but the activation got nowhere. held: the same, but it waits for
-- the launch budget, its customer's own, and that does not count.
-- final: the task fails with the platform's words.
-- lost: nothing appeared; a new attempt that uses up no retry (at most 3), or with retries 0 the task fails for good.
-- Should the dyno appear within the delay after all, it is stopped.
-- KEYS: run, history, watch   ARGV: run id, channel, task, attempt, kind, delay ms, retries, code, detail,
--       milliseconds that an attempt may be refused for until it has failed; its waiting for the launch budget does not count
local run, t = KEYS[1], ARGV[3]
local v = redis.call('HMGET', run, 'p:' .. t, 'a:' .. t, 'failing', 'o:' .. t, 'r:' .. t)
if v[1] ~= 'intent' or v[2] ~= ARGV[4] then return 0 end
-- an output came meanwhile, of this attempt or of one before: it decides (enter.lua)
if v[4] then return 0 end
local unknown = '?' .. ARGV[1] .. '.' .. t .. '/' .. ARGV[4]
local watched = redis.call('HGET', KEYS[3], unknown)
if watched and ARGV[5] == 'lost' then
  redis.call('HSET', KEYS[3], unknown, watched .. '|' .. (now + tonumber(ARGV[6])))
else
  redis.call('HDEL', KEYS[3], unknown)
end
local held = ARGV[5] == 'held'
local healing = ARGV[5] == 'heal' or ARGV[5] == 'unsent'
local since = tonumber(v[5] or now)
if held or (healing and now - since < tonumber(ARGV[10])) then
  redis.call('HSET', run, 'p:' .. t, 'backoff', 'dl:' .. t, now + tonumber(ARGV[6]))
  redis.call('HSETNX', run, (held and 'q:' or 'r:') .. t, now)
  redis.call('HDEL', run, 'i:' .. t)
  list_retrying(1)
  if ARGV[5] ~= 'unsent' then redis.call('HDEL', run, 'c:' .. t) end
  local refusals = redis.call('HINCRBY', run, 'rn:' .. t, 1)
  if refusals <= MOST_REFUSALS then
    log('refused', t, ARGV[4], ARGV[9] .. (refusals == MOST_REFUSALS and ' (those that follow are not listed)' or ''))
  end
  return 1
end
-- time did not heal it: the attempt has failed, and the task's retries decide
if healing and not v[3] and redis.call('HINCRBY', run, 'u:' .. t, 1) <= tonumber(ARGV[7]) then
  redis.call('HSET', run, 'p:' .. t, 'backoff', 'a:' .. t, tonumber(ARGV[4]) + 1, 'dl:' .. t, now + tonumber(ARGV[6]))
  redis.call('HDEL', run, 'i:' .. t, 'c:' .. t, 'dy:' .. t, 'r:' .. t)
  list_retrying(1)
  log('retry', t, ARGV[4], ARGV[8] .. ': ' .. ARGV[9])
  return 1
end
if ARGV[5] == 'lost' and tonumber(ARGV[7]) > 0 and not v[3] and redis.call('HINCRBY', run, 'l:' .. t, 1) <= 3 then
  redis.call('HSET', run, 'p:' .. t, 'backoff', 'a:' .. t, tonumber(ARGV[4]) + 1, 'dl:' .. t, now)
  redis.call('HDEL', run, 'i:' .. t, 'c:' .. t, 'dy:' .. t, 'r:' .. t)
  list_retrying(1)
  log('lost', t, ARGV[4], ARGV[9])
  return 1
end
redis.call('HSET', run, 'p:' .. t, 'failed', 'e:' .. t, ARGV[8] .. '|' .. ARGV[9])
redis.call('HINCRBY', run, 'd' .. string.match(t, '^%d+'), 1)
redis.call('HDEL', run, 'c:' .. t, 'dl:' .. t, 'x:' .. t, 'r:' .. t)
-- of what is given up as lost an output may still come: late, not one of nowhere
if ARGV[5] ~= 'lost' then redis.call('HDEL', run, 'i:' .. t) end
log('failed', t, ARGV[4], ARGV[8] .. ': ' .. ARGV[9])
if not v[3] then
  redis.call('HSET', run, 'failing', t .. '|' .. ARGV[8] .. '|' .. ARGV[9])
  log('failing', t, ARGV[4], ARGV[8])
end
return 2
