-- One stretch of a resource's runs, newest first, with what a list shows of each. Reads only. It ends when enough were
-- found, or when so many were looked at that Redis should serve others first.
-- KEYS: list (ZSET of run ids by ms)
-- ARGV: (unused), (unused), newest ms or '+inf', run id to go on after or '', oldest ms or '-inf', runs to find,
--       runs to look at, title or '', key prefix or '', text in small ASCII letters or '', fields …
-- Reply: 1 when the list is done, ms and id of the last run looked at, then per run: id, ms, tasks, settled tasks, field …
local newest, after, oldest, limit, budget = ARGV[3], ARGV[4], tonumber(ARGV[5]) or -math.huge, tonumber(ARGV[6]), tonumber(ARGV[7])
local title, prefix, text = ARGV[8], ARGV[9], ARGV[10]
local shard = string.match(KEYS[1], '^{[^}]*}') .. ':run:'
local fields = {}
for k = 11, #ARGV do fields[#fields + 1] = ARGV[k] end

local function fits(id, run)
  if title == '' and prefix == '' and text == '' then return true end
  local v = redis.call('HMGET', run, 'title', 'key', 'failing', 'error')
  local name, key = v[1] or '', v[2] or ''
  if title ~= '' and name ~= title then return false end
  if prefix ~= '' and string.sub(key, 1, #prefix) ~= prefix then return false end
  if text == '' then return true end
  local all = id .. '\n' .. name .. '\n' .. key .. '\n' .. (v[3] or '') .. '\n' .. (v[4] or '')
  return string.find(string.lower(all), text, 1, true) ~= nil
end

local function row(id, ms, run)
  local found = redis.call('HMGET', run, 'state', 'steps', unpack(fields))
  if not found[1] then return nil end
  local tasks, done = 0, 0
  for s = 0, tonumber(found[2] or '0') - 1 do
    local v = redis.call('HMGET', run, 'n' .. s, 'd' .. s)
    tasks = tasks + tonumber(v[1] or '0')
    done = done + tonumber(v[2] or '0')
  end
  local reply = { id, ms, tostring(tasks), tostring(done) }
  for k = 3, #fields + 2 do reply[#reply + 1] = found[k] or '' end
  return reply
end

local reply, looked, at, last = { 0, '', '' }, 0, newest, after
-- the runs of the same millisecond as the last one come again: they are in descending order of their ids
local rank = newest == '+inf' and 0 or redis.call('ZCOUNT', KEYS[1], '(' .. newest, '+inf')
while true do
  local members = redis.call('ZRANGE', KEYS[1], rank, rank + 199, 'REV', 'WITHSCORES')
  if #members == 0 then
    reply[1] = 1
    break
  end
  rank = rank + 200
  local full = false
  for k = 1, #members, 2 do
    local id, ms = members[k], members[k + 1]
    if tonumber(ms) < oldest then
      reply[1], full = 1, true
      break
    end
    if not (ms == newest and after ~= '' and id >= after) then
      looked, at, last = looked + 1, ms, id
      local run = shard .. id
      local found = fits(id, run) and row(id, ms, run)
      if found then reply[#reply + 1] = found end
      if #reply - 3 >= limit or looked >= budget then
        full = true
        break
      end
    end
  end
  if full then break end
end
reply[2], reply[3] = at, last
return reply
