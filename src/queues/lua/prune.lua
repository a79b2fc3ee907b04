-- Takes a resource off the list of those with dynos to watch, unless a launch has put one there meanwhile.
-- KEYS: watch, watched   ARGV: (unused), (unused), resource
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
return redis.call('SREM', KEYS[2], ARGV[3])
