-- Somebody wants the run to stop, or it took too long (then it has failed). A run without a tree yet ends here; else every task
-- is rung and skips itself. One that is made again after a loss of Redis gets its tree all the same: it may have had dynos that the record has
-- forgotten, and its tasks have those looked for (enter.lua).
-- KEYS: run, history, delayed, marker, live   ARGV: run id, channel, by whom, why it failed or ''
local v = redis.call('HMGET', KEYS[1], 'state', 'cancel', 'steps', 'redo')
if not v[1] then return 'gone' end
if v[1] == 'accepted' and not v[4] then
  local state = ARGV[4] == '' and 'cancelled' or 'failed'
  redis.call('HSET', KEYS[1], 'state', state, 'cancel', now, 'end', now)
  if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'failing', ARGV[4]) end
  -- what a retry has kept, and what cools, has succeeded
  for s = 0, tonumber(v[3] or '0') - 1 do
    for i = 0, tonumber(redis.call('HGET', KEYS[1], 'n' .. s) or '0') - 1 do
      local phase = 'p:' .. s .. '.' .. i
      if redis.call('HGET', KEYS[1], phase) == 'cool' then
        redis.call('HSET', KEYS[1], phase, 'succeeded')
        redis.call('HDEL', KEYS[1], 'dl:' .. s .. '.' .. i)
        redis.call('HINCRBY', KEYS[1], 'd' .. s, 1)
      end
    end
  end
  redis.call('ZREM', KEYS[5], ARGV[1])
  log(state, '', 0, ARGV[3])
  archive_later()
  list_state('accepted', state)
  return state
end
if v[1] ~= 'running' and v[1] ~= 'accepted' then return 'ended:' .. v[1] end
if not v[2] then
  redis.call('HSET', KEYS[1], 'cancel', now)
  if ARGV[4] ~= '' then redis.call('HSETNX', KEYS[1], 'failing', ARGV[4]) end
  log('cancelling', '', 0, ARGV[3])
end
for s = 0, tonumber(v[3]) - 1 do
  for i = 0, tonumber(redis.call('HGET', KEYS[1], 'n' .. s)) - 1 do wake(KEYS[3], KEYS[4], ARGV[1] .. '.' .. s .. '.' .. i) end
end
return 'cancelling'
