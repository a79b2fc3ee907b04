-- How many shards new runs are spread over, as a list of [count, from]: an object saved at `from` (ms) or later has its run
-- in one of so many shards. Entries are never changed, so that an event that comes again finds the run that it made.
-- KEYS: layout   ARGV: (unused), (unused), wanted count (0: only look), margin ms
local text = redis.call('GET', KEYS[1])
local entries = text and cjson.decode(text) or {}
local wanted = tonumber(ARGV[3])
local last = entries[#entries]
if wanted > 0 and (not last or last[1] ~= wanted) then
  if #entries >= 1000 then return redis.error_reply('ERR the number of shards was changed a thousand times') end
  -- whole seconds, since S3 tells nothing finer; late enough that every process knows of it before the first such object
  local from = last and math.max(math.ceil((now + tonumber(ARGV[4])) / 1000) * 1000, last[2] + 1000) or 0
  entries[#entries + 1] = { wanted, from }
  redis.call('SET', KEYS[1], cjson.encode(entries))
end
return cjson.encode(entries)
