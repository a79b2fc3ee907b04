-- Of each task whether it waits for a launch ('w'), holds one ('h'), or neither (''). One that has asked and did not write yet that it waits does so, too,
-- unless its step's turn has not come: it may have asked before it knew.
-- All are of one shard.
-- KEYS: live   ARGV: (unused), (unused), then run id, task `step.index`, run id, task …
local p = string.match(KEYS[1], '^{[^}]*}') .. ':run:'
local out = {}
for k = 3, #ARGV, 2 do
  local t = ARGV[k + 1]
  local before = tonumber(string.match(t, '^%d+')) - 1
  local v = redis.call('HMGET', p .. ARGV[k], 'state', 'end', 'p:' .. t, 'dl:' .. t, 'd' .. before, 'n' .. before)
  local phase = v[1] and not v[2] and (v[3] or 'new') or ''
  local turn = before < 0 or tonumber(v[5] or '0') >= tonumber(v[6] or '0')
  local waits = phase == 'throttle' or (phase == 'new' and turn) or (phase == 'backoff' and now >= tonumber(v[4] or '0'))
  out[#out + 1] = (phase == 'intent' or phase == 'await') and 'h' or waits and 'w' or ''
end
return out
