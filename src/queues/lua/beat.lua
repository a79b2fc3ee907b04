-- Counts on, or looks. The count only ever grows, so one that is lower than before tells that Redis has lost data.
-- Who was away while others counted on cannot see that any more: so the count at which each start of the server was found is kept.
-- KEYS: place   ARGV: (unused), (unused), 1 = count on | 0 = look, starts that are kept
-- Reply: beat, starts ("start=count" each, oldest first), this start ('' where it has no name), seconds since it,
--        epoch ('' where there is none), since (ms)
local info = redis.call('INFO', 'server')
local start = string.match(info, 'run_id:(%x+)') or ''
local seconds = tonumber(string.match(info, 'uptime_in_seconds:(%d+)') or '0')
local v = redis.call('HMGET', KEYS[1], 'beat', 'starts', 'epoch', 'since')
local beat, starts = tonumber(v[1] or '0'), v[2] or ''
if ARGV[3] == '1' then
  if start ~= '' and not string.find(starts, start, 1, true) then
    local kept = {}
    for each in string.gmatch(starts, '%S+') do kept[#kept + 1] = each end
    kept[#kept + 1] = start .. '=' .. string.format('%.0f', beat)
    starts = table.concat(kept, ' ', math.max(1, #kept - tonumber(ARGV[4]) + 1))
    redis.call('HSET', KEYS[1], 'starts', starts)
  end
  beat = redis.call('HINCRBY', KEYS[1], 'beat', 1)
end
return { beat, starts, start, seconds, v[3] or '', v[4] or '0' }
