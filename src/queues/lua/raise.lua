-- The store is in another epoch from now on; an older epoch changes nothing.
-- KEYS: store   ARGV: (unused), (unused), epoch, beat from which it counts on, since (ms)
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if epoch >= tonumber(ARGV[3]) then return 0 end
local beat = math.max(tonumber(redis.call('HGET', KEYS[1], 'beat') or '0'), tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'beat', string.format('%.0f', beat), 'since', ARGV[5])
return 1
