-- Adds a webhook while there are fewer than the most: what a resource has beside its record is to fit into its backup.
-- KEYS: webhooks   ARGV: (unused), (unused), id of the webhook, record (JSON), most webhooks
-- Answers 1, or 0 where there are as many already.
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
return 1
