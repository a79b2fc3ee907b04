-- Takes resources whose bucket is due, the longest due first: until `until` nobody else gets them. Answers with their ids.
-- KEYS: due   ARGV: (unused), (unused), now (ms), until (ms), how many at most
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[3], 'LIMIT', 0, ARGV[5])
for _, id in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[4], id) end
return due
