-- Notes what came of a try to deliver, while the webhook is there: a list that is written after the removal would stay for ever.
-- KEYS: webhooks, deliveries   ARGV: (unused), (unused), id of the webhook, delivery (JSON), most entries
-- Answers 1, or 0 where the webhook is gone.
if redis.call('HEXISTS', KEYS[1], ARGV[3]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[4])
redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[5]) - 1)
return 1
