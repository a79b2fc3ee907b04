-- The archive has the run: from now on retention may take its record. A run that ended again meanwhile (its record was
-- restored), or to which something came since it was read, is archived again: also where another archiver has noted a later copy, since this
-- one may have been written over it.
-- KEYS: run, history, unarchived   ARGV: run id, (unused), end (ms) of what was archived, how often something had come after that
if redis.call('HGET', KEYS[1], 'end') ~= ARGV[3] or tostring(redis.call('HGET', KEYS[1], 'late') or '') ~= ARGV[4] then
  local v = redis.call('HMGET', KEYS[1], 'end', 'stub')
  if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('ZREM', KEYS[3], ARGV[1])
  elseif v[1] and not v[2] then
    redis.call('HDEL', KEYS[1], 'arch')
    redis.call('ZADD', KEYS[3], 'NX', now, ARGV[1])
  end
  return 'changed'
end
redis.call('HSET', KEYS[1], 'arch', now)
redis.call('ZREM', KEYS[3], ARGV[1])
return 'ok'
