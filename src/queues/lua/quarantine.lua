-- A decision that leads to no run: counted, and when it is a quarantine also kept for the owner to see. With a digest the
-- object version is accounted for.
-- KEYS: decisions, quarantine, account
-- ARGV: (unused), (unused), kind (empty: only accounted), entry (JSON, empty when only counted), digest or empty, memory ms,
--       which start of Redis the rest of the decision was written to, or empty
-- Answers 'changed', and does nothing, on another start: this command was sent again to a Redis that may have lost that rest.
if on_another_start(ARGV[7]) then return 'changed' end
if ARGV[3] ~= '' then redis.call('HINCRBY', KEYS[1], ARGV[3], 1) end
if ARGV[4] ~= '' then
  redis.call('ZADD', KEYS[2], 'NX', now, ARGV[4])
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1001)
end
account_for(KEYS[3], ARGV[5], ARGV[6])
return 'ok'
