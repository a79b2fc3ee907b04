-- The place counts on from another beat, in another epoch; when a later epoch has begun nothing changes. What earlier starts of the server
-- were found with tells nothing any more. May be called again.
-- KEYS: place   ARGV: (unused), (unused), epoch, beat from which it counts on, since (ms)
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') > tonumber(ARGV[3]) then return 0 end
local start = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
local beat = math.max(tonumber(redis.call('HGET', KEYS[1], 'beat') or '0'), tonumber(ARGV[4]))
local count = string.format('%.0f', beat)
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'beat', count, 'since', ARGV[5], 'starts', start .. '=' .. count)
-- the mark of an epoch that was to come
local coming = string.match(redis.call('HGET', KEYS[1], 'coming') or '', '^%d+')
if coming and tonumber(coming) <= tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], 'coming') end
return 1
