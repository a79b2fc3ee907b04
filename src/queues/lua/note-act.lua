-- Notes an act in the audit log, once: who was not answered asks again, and so does ioredis by itself.
-- KEYS: audit log   ARGV: (unused), (unused), entries that it keeps, mark of the act, its fields (name, text, …)
-- Answers 1, or 0 where it stands already.
-- as many as others may have noted since, and a few milliseconds
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1000)) do
  if entry[2][1] == 'mark' and entry[2][2] == ARGV[4] then return 0 end
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'mark', ARGV[4], unpack(ARGV, 5))
return 1
