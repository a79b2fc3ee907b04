-- Counts a try. One write, so that no count ever stands without its end. Answers with how many there were.
-- KEYS: count   ARGV: (unused), (unused), milliseconds for which the count is kept after its last try
local tries = tonumber(redis.call('GET', KEYS[1]) or '0') + 1
redis.call('SET', KEYS[1], tries, 'PX', ARGV[3])
return tries
