-- An output arrived for a task. The first one of a launched task ends the wait; later ones are listed and change
-- nothing; one for a task that was never launched is refused and shown; one from another resource's bucket is foreign.
-- What is taken or known is accounted for with its digest, where there is one; what is refused is so by who shows it to the owner.
-- KEYS: run, history, delayed, marker, decisions, made, account
-- ARGV: run id, channel, task, resource, version id, output (JSON), index of the task, step of the task,
--       ms to remember which task made a file, digest or empty, ms to remember the digest
local run, t = KEYS[1], ARGV[3]
local v = redis.call('HMGET', run, 'state', 'resource', 'p:' .. t, 'a:' .. t, 'o:' .. t, 'n' .. ARGV[8], 'dy:' .. t, 'i:' .. t, 'stub', 'redo', 'end')
if not v[1] then return 'gone' end
if v[2] ~= ARGV[4] then return 'foreign' end
-- of a run whose retention has passed nothing but its having been is known
if v[9] then
  account_for(KEYS[7], ARGV[10], ARGV[11])
  return 'late'
end
if not v[6] or tonumber(ARGV[7]) >= tonumber(v[6]) then return 'gone' end
-- which task made the file, whatever comes of it
local function made()
  redis.call('ZADD', KEYS[6], now, ARGV[1] .. '.' .. t)
  redis.call('ZREMRANGEBYRANK', KEYS[6], 0, -1 - MOST_OF_FILE)
  redis.call('PEXPIRE', KEYS[6], ARGV[9])
end
-- How often later outputs of one task, and of one run, are listed, without what they carry as state: an endless writer must not grow
-- the record without end. With all of them it stays far below what is read of an archived run (archived-run.ts).
local function list(what)
  local seen = 'v:' .. t .. ':' .. ARGV[5]
  if redis.call('HEXISTS', run, seen) == 1 then return false end
  if redis.call('HINCRBY', run, 'vn:' .. t, 1) > 20 or redis.call('HINCRBY', run, 'vn', 1) > 500 then return false end
  redis.call('HSET', run, seen, 1)
  made()
  local output = cjson.decode(ARGV[6])
  output.state = nil
  log(what, t, v[4] or 0, cjson.encode(output))
  redis.call('HINCRBY', KEYS[5], what, 1)
  archive_again()
  return true
end
local first = v[5] and string.match(v[5], '^%d+|(.+)$')
if first and cjson.decode(first).version_id == ARGV[5] then
  account_for(KEYS[7], ARGV[10], ARGV[11])
  return 'duplicate'
end
-- an intent may have been launched; one that was refused for certain is gone from the record; of a run that is made again
-- after a loss of Redis any task may have been
if not (v[5] or v[7] or v[8] or v[10] or tonumber(v[4] or '1') > 1) then
  list('refused_output')
  return 'unlaunched'
end
account_for(KEYS[7], ARGV[10], ARGV[11])
-- of a run that ended before it began no task has settled
if settled(v[3]) or v[5] or v[11] then
  list('late_output')
  return 'late'
end
redis.call('HSET', run, 'o:' .. t, now .. '|' .. ARGV[6])
redis.call('HINCRBY', KEYS[5], 'output', 1)
made()
log('output', t, v[4] or 1, ARGV[6])
wake(KEYS[3], KEYS[4], ARGV[1] .. '.' .. t)
return 'ok'
