-- The archive has the run: from now on retention may take its record. A run that ended again meanwhile (its record was
-- restored), or to which something came since it was read, is archived again.
-- KEYS: run, history, unarchived   ARGV: run id, (unused), end (ms) of what was archived, how often something had come after that
if redis.call('HGET', KEYS[1], 'end') ~= ARGV[3] or tostring(redis.call('HGET', KEYS[1], 'late') or '') ~= ARGV[4] then
  if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('ZREM', KEYS[3], ARGV[1]) end
  return 'changed'
end
redis.call('HSET', KEYS[1], 'arch', now)
redis.call('ZREM', KEYS[3], ARGV[1])
return 'ok'
