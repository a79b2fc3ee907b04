-- The archive has this run as ended, Redis has lost its end or all of it: what the archive says stands. Terminal is final.
-- KEYS: run, history, document, live, index, decisions, delayed, marker, watch
-- ARGV: run id, channel, record (JSON object), document or '', history (JSON array of entries), milliseconds that a launch of unknown fate is still
--       looked for
local v = redis.call('HMGET', KEYS[1], 'state', 'end')
if v[2] then return 'stands' end
local record = cjson.decode(ARGV[3])
if redis.call('HGET', KEYS[1], 'bo') then redis.call('ZREM', list_key('state:retrying', record['resource']), ARGV[1]) end
local lost, attempts = redis.call('HGETALL', KEYS[1]), {}
for k = 1, #lost, 2 do
  local task = string.match(lost[k], '^a:(.+)$')
  if task then attempts[task] = lost[k + 1] end
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
for field, value in pairs(record) do
  redis.call('HSET', KEYS[1], field, value)
  -- jobs of it that Redis still has settle at once
  local task = string.match(field, '^p:(.+)$')
  if task then
    wake(KEYS[7], KEYS[8], ARGV[1] .. '.' .. task)
    -- its task is settled now and says no word of it any more: without an end it would be looked for as long as the resource exists
    local unknown = '?' .. ARGV[1] .. '.' .. task .. '/' .. (attempts[task] or '1')
    local watched = redis.call('HGET', KEYS[9], unknown)
    if watched and not string.match(watched, '|.*|.*|.*|') then
      redis.call('HSET', KEYS[9], unknown, watched .. '|' .. (now + tonumber(ARGV[6])))
    end
  end
end
-- the archive has it; whether its bucket has, Redis alone knew (queues/archive.ts). A copy from beside another archiver has that one's mark
redis.call('HDEL', KEYS[1], 'arch')
if record['noexp'] then
  -- nothing is left to do for one whose export was given up
  redis.call('HSET', KEYS[1], 'arch', now)
else
  redis.call('ZADD', list_key('unexported', record['resource']), now, ARGV[1])
  redis.call('ZADD', string.match(KEYS[1], '^{[^}]*}') .. ':unexported', 'NX', now, record['resource'])
end
list_state(v[1], record['state'])
if ARGV[4] ~= '' then redis.call('SET', KEYS[3], ARGV[4]) end
for _, entry in ipairs(cjson.decode(ARGV[5])) do redis.call('RPUSH', KEYS[2], entry) end
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[5], record['at'], ARGV[1])
redis.call('HINCRBY', KEYS[6], 'restored', 1)
return 'restored'
