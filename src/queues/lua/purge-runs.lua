-- Takes runs of a removed resource away, their records and what lists them in one: a Redis that is rolled back between the two would have
-- records that no list knows.
-- KEYS: index, live, unarchived   ARGV: (unused), (unused), how many at most, the key of a record without the run's id
-- Answers how many there were. The keys of document and history are built here (src/queues/keys.ts spells the same names).
local runs = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[3]) - 1)
for _, run in ipairs(runs) do
  local key = ARGV[4] .. run
  redis.call('UNLINK', key, key .. ':d', key .. ':h')
  for k = 1, 3 do redis.call('ZREM', KEYS[k], run) end
end
return #runs
