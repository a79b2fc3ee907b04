-- Somebody wants the run to stop. A run without a tree yet ends here; else every task is rung and skips itself.
-- KEYS: run, history, delayed, marker, live   ARGV: run id, channel, by whom
local v = redis.call('HMGET', KEYS[1], 'state', 'cancel', 'steps')
if not v[1] then return 'gone' end
if v[1] == 'accepted' then
  redis.call('HSET', KEYS[1], 'state', 'cancelled', 'cancel', now, 'end', now)
  redis.call('ZREM', KEYS[5], ARGV[1])
  log('cancelled', '', 0, ARGV[3])
  archive_later()
  return 'cancelled'
end
if v[1] ~= 'running' then return v[1] end
if not v[2] then
  redis.call('HSET', KEYS[1], 'cancel', now)
  log('cancelling', '', 0, ARGV[3])
end
for s = 0, tonumber(v[3]) - 1 do
  for i = 0, tonumber(redis.call('HGET', KEYS[1], 'n' .. s)) - 1 do wake(KEYS[3], KEYS[4], ARGV[1] .. '.' .. s .. '.' .. i) end
end
return 'cancelling'
