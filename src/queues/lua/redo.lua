-- Redis came back without what was written last: this run's work may have been done already and may be done again. Its next
-- attempts are numbered by the epoch, so that none has the number of one that was launched before, and it is counted.
-- KEYS: run, history, decisions   ARGV: run id, channel, epoch, the pass of a recovery that found no end of it in the archive, or ''
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[1], 'end') == 1 then return 0 end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'looked', ARGV[4]) end
if tonumber(redis.call('HGET', KEYS[1], 'redo') or '0') >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'redo', ARGV[3])
redis.call('HINCRBY', KEYS[3], 'reexecuted', 1)
log('redone', '', 0, 'epoch ' .. ARGV[3])
return 1
