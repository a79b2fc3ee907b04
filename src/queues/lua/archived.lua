-- The archive has the run: from now on retention may take its record. A run that ended again meanwhile (its record was
-- restored), or to which something came since it was read, is archived again: also where another archiver has noted a later copy, since this
-- one may have been written over it. Where the tenant's bucket has refused the export, that alone is left to do, and the record waits for it.
-- KEYS: run, history, unarchived, unexported, unexported of the pile, mark that its bucket takes exports
-- ARGV: run id, '' or 'exported' (the archive was not written now, the bucket alone), end (ms) of what was written, how often something had come after
--       that, pile (queues/archive.ts), '' or ms until an export to the bucket that refused this one is tried again,
--       ms for which the mark stands
local function leave_unexported()
  redis.call('ZREM', KEYS[5], ARGV[1])
  if redis.call('EXISTS', KEYS[5]) == 0 then redis.call('ZREM', KEYS[4], ARGV[5]) end
end
if redis.call('HGET', KEYS[1], 'end') ~= ARGV[3] or tostring(redis.call('HGET', KEYS[1], 'late') or '') ~= ARGV[4] then
  local v = redis.call('HMGET', KEYS[1], 'end', 'stub')
  if v[1] and not v[2] then
    redis.call('HDEL', KEYS[1], 'arch')
    redis.call('ZADD', KEYS[3], 'NX', now, ARGV[1])
    return 'changed'
  end
  if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('ZREM', KEYS[3], ARGV[1]) end
  leave_unexported()
  return 'changed'
end
-- what came after the end waits for the archive, and who exports has not brought it there
if ARGV[2] == 'exported' and redis.call('ZSCORE', KEYS[3], ARGV[1]) then
  leave_unexported()
  return 'ok'
end
redis.call('ZREM', KEYS[3], ARGV[1])
if ARGV[6] ~= '' then
  redis.call('DEL', KEYS[6])
  local again, due = now + tonumber(ARGV[6]), redis.call('ZSCORE', KEYS[4], ARGV[5])
  local added = redis.call('ZADD', KEYS[5], 'NX', now, ARGV[1])
  -- one that waits alone may be what is refused, and not the bucket: a second one tells, and soon
  if not due or (added == 1 and redis.call('ZCARD', KEYS[5]) == 2 and tonumber(due) > again) then redis.call('ZADD', KEYS[4], again, ARGV[5]) end
  return 'unexported'
end
redis.call('HSET', KEYS[1], 'arch', now)
leave_unexported()
-- those that end now need not join the ones that wait, which take many turns; of a run whose export was given up the bucket got nothing
if redis.call('ZSCORE', KEYS[4], ARGV[5]) and redis.call('HEXISTS', KEYS[1], 'noexp') == 0 then redis.call('SET', KEYS[6], 1, 'PX', ARGV[7]) end
return 'ok'
