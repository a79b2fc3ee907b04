-- An upload becomes a run, once. The record is the dedupe memory: a second call answers with its state.
-- KEYS: run, history, live, index, decisions, rate, quarantine, document, file
-- ARGV: run id, channel, resource, state (accepted|rejected), cap per minute, default retention ms,
--       quarantine entry (JSON), document or '', then field, value, field, value …
local state = redis.call('HGET', KEYS[1], 'state')
if state then return state end
local minute = KEYS[6] .. ':' .. math.floor(now / 60000)
local count = redis.call('INCR', minute)
if count == 1 then redis.call('PEXPIRE', minute, 120000) end
if count > tonumber(ARGV[5]) then
  redis.call('ZADD', KEYS[7], 'NX', now, ARGV[7])
  redis.call('ZREMRANGEBYRANK', KEYS[7], 0, -1001)
  redis.call('HINCRBY', KEYS[5], 'quarantined', 1)
  return 'capped'
end
local fields = { 'state', ARGV[4], 'resource', ARGV[3], 'at', now, 'rel', 0 }
for k = 9, #ARGV do fields[#fields + 1] = ARGV[k] end
redis.call('HSET', KEYS[1], unpack(fields))
if ARGV[8] ~= '' then redis.call('SET', KEYS[8], ARGV[8]) end
redis.call('ZADD', KEYS[4], now, ARGV[1])
redis.call('ZADD', KEYS[9], now, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[9], 0, -1 - MOST_OF_FILE)
redis.call('PEXPIRE', KEYS[9], ARGV[6] + 604800000)
redis.call('HINCRBY', KEYS[5], ARGV[4] == 'rejected' and 'rejected' or 'run', 1)
log(ARGV[4])
list_state(nil, ARGV[4])
if ARGV[4] == 'rejected' then
  redis.call('HSET', KEYS[1], 'end', now)
  archive_later()
else
  -- a run whose file was saved long ago counts as that old: the ledger's watermark waits for it
  redis.call('ZADD', KEYS[3], tonumber(redis.call('HGET', KEYS[1], 'saved') or now), ARGV[1])
  if redis.call('HEXISTS', KEYS[1], 'redo') == 1 then
    redis.call('HINCRBY', KEYS[5], 'reexecuted', 1)
    log('redone', '', 0, 'epoch ' .. redis.call('HGET', KEYS[1], 'redo'))
  end
end
return 'new'
