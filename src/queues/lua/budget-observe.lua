-- What the platform says of the account: so many calls are left (our own count may not say more), or 429: nothing goes out
-- for so many milliseconds.
-- KEYS: budget   ARGV: per hour, burst, remaining or -1, milliseconds to wait or 0
local level = tokens()
if tonumber(ARGV[3]) >= 0 then
  redis.call('HSET', B, 'remaining', ARGV[3], 'seen', now)
  if level > tonumber(ARGV[3]) then save(tonumber(ARGV[3])) end
end
local ms = tonumber(ARGV[4])
if ms > 0 then
  save(0)
  redis.call('HSET', B, 'blocked', math.max(now + ms, tonumber(redis.call('HGET', B, 'blocked') or '0')))
  redis.call('HINCRBY', B, 'throttled', 1)
end
return 1
