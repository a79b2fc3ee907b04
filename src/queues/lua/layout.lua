-- How many shards new runs are spread over, as a list of [count, from]: an object saved at `from` (ms) or later has its run
-- in one of so many shards. Entries are never changed, so that an event that comes again finds the run that it made.
-- What the archive remembers of it comes back: before a loss Redis had at least that much.
-- KEYS: layout   ARGV: (unused), (unused), wanted count (0: only look), margin ms, remembered entries (JSON) or empty
local text = redis.call('GET', KEYS[1])
local entries = text and cjson.decode(text) or {}
local wanted = tonumber(ARGV[3])
-- whole seconds, since S3 tells nothing finer; late enough that every process knows of it before the first such object
local function after(last) return math.max(math.ceil((now + tonumber(ARGV[4])) / 1000) * 1000, last[2] + 1000) end
local function begins_with(all, some)
  for k, entry in ipairs(some) do
    if not all[k] or all[k][1] ~= entry[1] or all[k][2] ~= entry[2] then return false end
  end
  return true
end
local remembered = ARGV[5] ~= '' and cjson.decode(ARGV[5]) or {}
if not begins_with(entries, remembered) then
  local present = entries[#entries]
  -- an emptied Redis was given a layout of its own: its count goes on from the remembered ones
  if not begins_with(remembered, entries) and remembered[#remembered][1] ~= present[1] then
    remembered[#remembered + 1] = { present[1], after(remembered[#remembered]) }
  end
  entries = remembered
  redis.call('SET', KEYS[1], cjson.encode(entries))
end
local last = entries[#entries]
if wanted > 0 and (not last or last[1] ~= wanted) then
  if #entries >= 1000 then return redis.error_reply('ERR the number of shards was changed a thousand times') end
  entries[#entries + 1] = { wanted, last and after(last) or 0 }
  redis.call('SET', KEYS[1], cjson.encode(entries))
end
return cjson.encode(entries)
