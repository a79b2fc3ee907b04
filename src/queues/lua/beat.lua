-- Counts on. The count only ever grows, so one that is lower than before tells that Redis has lost data.
-- KEYS: store   ARGV: (unused), (unused)   Reply: beat, epoch ('' where there is none), since (ms)
local beat = redis.call('HINCRBY', KEYS[1], 'beat', 1)
local v = redis.call('HMGET', KEYS[1], 'epoch', 'since')
return { beat, v[1] or '', v[2] or '0' }
