-- Counts on. The count only ever grows, so one that is lower than before tells that Redis has lost data.
-- Who was away while others counted on cannot see that any more: so the count at which each start of the server was found is kept.
-- KEYS: store   ARGV: (unused), (unused), starts that are kept
-- Reply: beat, epoch ('' where there is none), since (ms), starts ("start=count" each, oldest first)
local beat = redis.call('HINCRBY', KEYS[1], 'beat', 1)
local v = redis.call('HMGET', KEYS[1], 'epoch', 'since', 'starts')
local starts = v[3] or ''
local start = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if start and not string.find(starts, start, 1, true) then
  local kept = {}
  for each in string.gmatch(starts, '%S+') do kept[#kept + 1] = each end
  kept[#kept + 1] = start .. '=' .. string.format('%.0f', beat - 1)
  starts = table.concat(kept, ' ', math.max(1, #kept - tonumber(ARGV[3]) + 1))
  redis.call('HSET', KEYS[1], 'starts', starts)
end
return { beat, v[1] or '', v[2] or '0', starts }
