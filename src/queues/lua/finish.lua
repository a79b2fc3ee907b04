-- The root job: all tasks have settled, the run ends. Terminal is final; a second call answers with what stands.
-- KEYS: run, history, live   ARGV: run id, channel
local v = redis.call('HMGET', KEYS[1], 'state', 'end', 'steps', 'failing', 'cancel')
if not v[1] then return 'gone' end
if v[2] then return 'ended:' .. v[1] end
for s = 0, tonumber(v[3]) - 1 do
  local x = redis.call('HMGET', KEYS[1], 'd' .. s, 'n' .. s)
  if tonumber(x[1] or '0') < tonumber(x[2]) then return 'open' end
end
-- A cancel, or the run's own timeout ('|…'), that came after the last task had succeeded lost the race: it skipped nothing, and no launch under way
-- was refused since (refused.lua leaves the timeout's word). What a retry left out is skipped from the beginning, without a reason.
local function cut_short()
  for s = 0, tonumber(v[3]) - 1 do
    for i = 0, tonumber(redis.call('HGET', KEYS[1], 'n' .. s)) - 1 do
      local t = s .. '.' .. i
      local phase = redis.call('HGET', KEYS[1], 'p:' .. t)
      if phase == 'failed' or (phase == 'skipped' and redis.call('HEXISTS', KEYS[1], 'e:' .. t) == 1) then return true end
    end
  end
  return false
end
local state = 'succeeded'
if v[4] and string.sub(v[4], 1, 1) ~= '|' then
  state = 'failed'
elseif v[5] and cut_short() then
  state = v[4] and 'failed' or 'cancelled'
elseif v[4] then
  redis.call('HDEL', KEYS[1], 'failing')
end
redis.call('HSET', KEYS[1], 'state', state, 'end', now)
redis.call('ZREM', KEYS[3], ARGV[1])
log(state)
archive_later()
list_state(v[1], state)
return state
