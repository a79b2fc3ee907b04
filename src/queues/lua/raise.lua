-- The place counts on from another beat, in another epoch; when a later epoch has begun nothing changes. What earlier starts of the server
-- were found with tells nothing any more. May be called again. Where what was lost was put back before, it begins on that Redis alone: another start
-- of it, or one that was emptied since, may lack what was put back, and nobody would notice once the epoch stands there.
-- KEYS: place   ARGV: (unused), (unused), epoch, beat from which it counts on, since (ms), the server's start ('' = any),
--                     1 = the mark of this epoch must stand here
-- Reply: begun | later (another epoch has begun) | changed (it is another Redis)
local begun = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if begun > tonumber(ARGV[3]) then return 'later' end
local start = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
if ARGV[6] ~= '' and ARGV[6] ~= start then return 'changed' end
-- sent again it finds the epoch begun, and its mark gone
if ARGV[7] == '1' and begun < tonumber(ARGV[3]) and redis.call('HGET', KEYS[1], 'coming') ~= ARGV[3] .. '|' .. ARGV[5] then return 'changed' end
local beat = math.max(tonumber(redis.call('HGET', KEYS[1], 'beat') or '0'), tonumber(ARGV[4]))
local count = string.format('%.0f', beat)
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'beat', count, 'since', ARGV[5], 'starts', start .. '=' .. count)
-- the mark of an epoch that was to come
local coming = string.match(redis.call('HGET', KEYS[1], 'coming') or '', '^%d+')
if coming and tonumber(coming) <= tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], 'coming') end
return 'begun'
