-- Calls other than launches. A poll is made only when its share allows; what must be made in any case (a stop, a log that
-- tells how a dyno ended) is charged and may overdraw the account, so that launches wait for it. Answers 1 or 0.
-- KEYS: budget   ARGV: per hour, burst, what (poll|call), share of the polls
local level = tokens()
if ARGV[3] == 'poll' then
  local share = tonumber(ARGV[4])
  local v = redis.call('HMGET', B, 'plevel', 'pat', 'blocked')
  local most = math.max(1, burst * share)
  if v[3] and now < tonumber(v[3]) then return 0 end
  local polls = math.min(most, tonumber(v[1] or most) + math.max(0, now - tonumber(v[2] or '0')) * per_ms * share)
  if polls < 1 then return 0 end
  redis.call('HSET', B, 'plevel', string.format('%.6f', polls - 1), 'pat', now)
  redis.call('HINCRBY', B, 'polls', 1)
else
  redis.call('HINCRBY', B, 'calls', 1)
end
-- a minute's worth at most: a burst of stops must not keep launches back for an hour
save(math.max(level - 1, -60000 * per_ms))
return 1
