-- The retention of an ended run has passed: its record goes from here, the archive keeps it. What stays as long as its event may
-- come again is a stub, so that the event is not taken for a new one.
-- KEYS: run, history, document, index   ARGV: run id, (unused), retention ms, memory ms
local v = redis.call('HMGET', KEYS[1], 'end', 'arch', 'state', 'resource', 'at')
if not v[3] then
  redis.call('ZREM', KEYS[4], ARGV[1])
  return 'gone'
end
if not v[1] or now - tonumber(v[1]) < tonumber(ARGV[3]) then return 'young' end
if not v[2] then return 'unarchived' end
redis.call('ZREM', list_key('state:' .. v[3], v[4]), ARGV[1])
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZREM', list_key('state:' .. v[3], v[4]), ARGV[1])
local left = tonumber(v[1]) + tonumber(ARGV[4]) - now
if left <= 0 then return 'retired' end
redis.call('HSET', KEYS[1], 'state', v[3], 'resource', v[4], 'at', v[5], 'end', v[1], 'stub', 1)
redis.call('PEXPIRE', KEYS[1], left)
return 'stub'
