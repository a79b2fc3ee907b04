-- Generic cell rate algorithm (ITU-T I.371): one number per caller, the moment at which all that was used would be free again.
-- Answers with the milliseconds until the next call may be made; 0: this one may.
-- KEYS: moment   ARGV: (unused), (unused), calls a minute (as many may come at once), cost: 0 looks only, 1 counts
local per_minute = tonumber(ARGV[3])
local each = 60000 / per_minute
local at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local after = at + each
local wait = math.ceil(after - 60000 - now)
if wait > 0 then return wait end
if ARGV[4] == '1' then redis.call('SET', KEYS[1], string.format('%.3f', after), 'PX', math.max(1, math.ceil(after - now))) end
return 0
