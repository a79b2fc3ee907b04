-- The archive has this run as ended, Redis has lost its end or all of it: what the archive says stands. Terminal is final.
-- KEYS: run, history, document, live, index, decisions, delayed, marker
-- ARGV: run id, channel, record (JSON object), document or '', history (JSON array of entries)
local v = redis.call('HMGET', KEYS[1], 'state', 'end')
if v[2] then return 'stands' end
local record = cjson.decode(ARGV[3])
if redis.call('HGET', KEYS[1], 'bo') then redis.call('ZREM', list_key('state:retrying', record['resource']), ARGV[1]) end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
for field, value in pairs(record) do
  redis.call('HSET', KEYS[1], field, value)
  -- jobs of it that Redis still has settle at once
  local task = string.match(field, '^p:(.+)$')
  if task then wake(KEYS[7], KEYS[8], ARGV[1] .. '.' .. task) end
end
redis.call('HSET', KEYS[1], 'arch', now)
list_state(v[1], record['state'])
if ARGV[4] ~= '' then redis.call('SET', KEYS[3], ARGV[4]) end
for _, entry in ipairs(cjson.decode(ARGV[5])) do redis.call('RPUSH', KEYS[2], entry) end
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[5], record['at'], ARGV[1])
redis.call('HINCRBY', KEYS[6], 'restored', 1)
return 'restored'
