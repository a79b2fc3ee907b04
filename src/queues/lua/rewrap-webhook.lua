-- Replaces a webhook's record while it stands as it was read: one that was removed meanwhile must not come back.
-- KEYS: webhooks   ARGV: (unused), (unused), id of the webhook, record as it was read (JSON), record to write (JSON)
-- Answers 1, or 0 where another stands, or none.
if redis.call('HGET', KEYS[1], ARGV[3]) ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[5])
return 1
