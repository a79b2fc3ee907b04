-- An upload becomes a run, once. The record is the dedupe memory: a second call answers with its state. A file that is set aside instead (`capped`)
-- stays so when its event comes again (`aside`), in a minute or on a day that has room: as long as it is listed, or until somebody asks for its run.
-- KEYS: run, history, live, index, decisions, rate, quarantine, document, file
-- ARGV: run id, channel, resource, state (accepted|rejected), cap per minute in this shard, or `day`: the plan has no more runs today, or empty: there is none,
--       and the run is not counted, default retention ms, the file's entry as one too many in its minute, and on its day (empty: it is not set aside),
--       document or '', asked (1: whoever asks has it run after all), share (`?`: over the cap nothing is decided, and the answer is `over:` and the minute, unless
--       that minute stands here: it has no more in any shard), then field, value, field, value …
local state = redis.call('HGET', KEYS[1], 'state')
if state then return state end
local per_minute, per_day = ARGV[7], ARGV[8]
if per_minute ~= '' and ARGV[10] ~= '1' then
  if redis.call('ZSCORE', KEYS[7], per_minute) or redis.call('ZSCORE', KEYS[7], per_day) then return 'aside' end
end
local full = ARGV[5] == 'day' and per_day
if not full and ARGV[5] ~= '' then
  local minute = math.floor(now / 60000)
  local counter = KEYS[6] .. ':' .. minute
  local count = redis.call('INCR', counter)
  if count == 1 then redis.call('PEXPIRE', counter, 120000) end
  local spent = ARGV[11] == tostring(minute)
  if spent or count > tonumber(ARGV[5]) then
    -- accepted ones alone count: the shards' numbers are added up
    redis.call('DECR', counter)
    if ARGV[11] ~= '' and not spent then return 'over:' .. minute end
    full = per_minute
  end
end
if full then
  if full ~= '' and redis.call('ZADD', KEYS[7], 'NX', now, full) == 1 then
    redis.call('ZREMRANGEBYRANK', KEYS[7], 0, -1001)
    redis.call('HINCRBY', KEYS[5], 'quarantined', 1)
  end
  return 'capped'
end
if ARGV[10] == '1' and per_minute ~= '' then redis.call('ZREM', KEYS[7], per_minute, per_day) end
local fields = { 'state', ARGV[4], 'resource', ARGV[3], 'at', now, 'rel', 0 }
for k = 12, #ARGV do fields[#fields + 1] = ARGV[k] end
redis.call('HSET', KEYS[1], unpack(fields))
if ARGV[9] ~= '' then redis.call('SET', KEYS[8], ARGV[9]) end
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
