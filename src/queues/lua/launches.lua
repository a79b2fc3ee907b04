-- Of each task whether it waits for a launch ('w'), holds one ('h'), or neither (''). All are of one shard.
-- KEYS: live   ARGV: (unused), (unused), then run id, task `step.index`, run id, task …
local p = string.match(KEYS[1], '^{[^}]*}') .. ':run:'
local out = {}
for k = 3, #ARGV, 2 do
  local v = redis.call('HMGET', p .. ARGV[k], 'end', 'p:' .. ARGV[k + 1])
  local phase = not v[1] and v[2] or ''
  out[#out + 1] = (phase == 'intent' or phase == 'await') and 'h' or phase == 'throttle' and 'w' or ''
end
return out
