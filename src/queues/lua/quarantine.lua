-- A decision that leads to no run: counted, and when it is a quarantine also kept for the owner to see.
-- KEYS: decisions, quarantine   ARGV: (unused), (unused), kind, entry (JSON, empty when only counted)
redis.call('HINCRBY', KEYS[1], ARGV[3], 1)
if ARGV[4] ~= '' then
  redis.call('ZADD', KEYS[2], 'NX', now, ARGV[4])
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1001)
end
return 1
