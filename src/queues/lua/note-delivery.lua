-- Notes what came of a try to deliver, while the webhook is there: a list that is written after the removal would stay for ever.
-- A webhook of which none of so many tries was taken for so long is paused; one that is taken, be it a test, ends that.
-- KEYS: webhooks, deliveries, failing
-- ARGV: (unused), (unused), id of the webhook, delivery (JSON), most entries, what came of it ('taken', 'missed', or 'tested' for a test
--       that was not taken), its error, tries and milliseconds after which to pause
-- Answers 1, or 0 where the webhook is gone.
local id = ARGV[3]
if redis.call('HEXISTS', KEYS[1], id) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[4])
redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[5]) - 1)
if ARGV[6] == 'taken' then
  redis.call('HDEL', KEYS[3], 'tries:' .. id, 'since:' .. id, 'error:' .. id, 'paused:' .. id)
elseif ARGV[6] == 'missed' then
  local tries = redis.call('HINCRBY', KEYS[3], 'tries:' .. id, 1)
  redis.call('HSETNX', KEYS[3], 'since:' .. id, now)
  redis.call('HSET', KEYS[3], 'error:' .. id, ARGV[7])
  local since = tonumber(redis.call('HGET', KEYS[3], 'since:' .. id))
  if tries >= tonumber(ARGV[8]) and now - since >= tonumber(ARGV[9]) then redis.call('HSETNX', KEYS[3], 'paused:' .. id, now) end
end
return 1
