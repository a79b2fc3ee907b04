-- Takes runs of a removed resource away, their records and what lists them in one: a Redis that is rolled back between the two would have
-- records that no list knows.
-- KEYS: index, live, unarchived   ARGV: (unused), (unused), how many at most, the key of a record without the run's id
-- Answers how many there were. The keys of document and history are built here (src/queues/keys.ts spells the same names).
local runs = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[3]) - 1)
local p = string.match(KEYS[1], '^{[^}]*}')
-- What waits in a queue finds at its turn that there is no run; who waits for something that never comes, its turn is now.
local function ring(run)
  local steps = redis.call('HGET', ARGV[4] .. run, 'steps')
  if not steps or redis.call('HEXISTS', ARGV[4] .. run, 'end') == 1 then return end
  for s = 0, tonumber(steps) - 1 do
    for i = 0, tonumber(redis.call('HGET', ARGV[4] .. run, 'n' .. s) or '0') - 1 do
      wake(p .. ':task:delayed', p .. ':task:marker', run .. '.' .. s .. '.' .. i)
    end
  end
end
for _, run in ipairs(runs) do
  local key = ARGV[4] .. run
  ring(run)
  redis.call('UNLINK', key, key .. ':d', key .. ':h')
  for k = 1, 3 do redis.call('ZREM', KEYS[k], run) end
end
return #runs
