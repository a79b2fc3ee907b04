-- The one decision of a task's activation (DESIGN §4). However often the tree, a wake-up, a sweep or a zombie rings,
-- this script alone decides, and it writes what it decided.
-- KEYS: run, history, delayed, marker, watch, watched, stops, document
-- ARGV: 1 run id, 2 channel, 3 step, 4 index, 5 token of this activation, 6 timeout ms, 7 wait_for ms, 8 retries,
--       9 backoff type, 10 backoff delay ms, 11 backoff max ms, 12 no_output 0|1, 13 adopt after ms, 14 grace ms,
--       15 verdict: '' | 'extend' | failure code, 16 verdict detail, with held: why, 17 resource,
--       18 activations without progress allowed, 0 = this call is not the first of its activation,
--       19 launch budget: '' not asked yet | granted | queued | held, 20 with held: for how long (ms) the customer's account is to be left alone
-- Reply: action, ms, attempt, seen, detail, now; with launch also the facts that the dyno is told
local run, s, i = KEYS[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local t = ARGV[3] .. '.' .. ARGV[4]
local id = ARGV[1] .. '.' .. t
local v = redis.call('HMGET', run, 'state', 'cancel', 'failing', 'rel', 'o:' .. t, 'x:' .. t, 'g:' .. t, 'p:' .. t, 'a:' .. t, 'i:' .. t,
  'dl:' .. t, 'dy:' .. t, 'n' .. s, 'n' .. (s - 1), 'd' .. (s - 1), 'end', 'redo', 'r:' .. t, 'q:' .. t, 'rn:' .. t)
local state, cancel, failing, rel, out, death, grant = v[1], v[2], v[3], tonumber(v[4] or '0'), v[5], v[6], v[7]
local phase, attempt, dyno = v[8] or 'new', tonumber(v[9] or '1'), v[12]
-- whether that it is refused, again and again, is still told
local told = tonumber(v[20] or '0') < MOST_REFUSALS
if not state then return { 'gone', 0, 0, '', '', now } end

-- 1. Release the siblings that this leader holds, before anything can end this activation.
local gate = s == 0 or tonumber(v[15] or '0') >= tonumber(v[14] or '0')
if s > 0 and i == 0 and gate and rel < s then
  rel = s
  redis.call('HSET', run, 'rel', s)
  for y = 1, tonumber(v[13]) - 1 do wake(KEYS[3], KEYS[4], ARGV[1] .. '.' .. s .. '.' .. y) end
end

-- What a dyno is told of its run: title and trigger, and for a later step the outputs of the step before and the document
-- (which has the names of its tasks).
local function facts()
  local found = redis.call('HMGET', run, 'title', 'bucket', 'key', 'version', 'etag', 'size')
  for k = 1, 6 do found[k] = found[k] or '' end
  if s == 0 then return found end
  found[7] = redis.call('GET', KEYS[8]) or ''
  local fields = {}
  for y = 0, tonumber(v[14] or '0') - 1 do fields[y + 1] = 'o:' .. (s - 1) .. '.' .. y end
  if #fields > 0 then
    for y, output in ipairs(redis.call('HMGET', run, unpack(fields))) do found[7 + y] = output or '' end
  end
  return found
end

local function launch()
  return { 'launch', 0, attempt, view(state, cancel, failing, rel, out, death, grant), '', now, facts() }
end

local function reply(action, ms, detail)
  return { action, math.ceil(ms or 0), attempt, view(state, cancel, failing, rel, out, death, grant), detail or '', now }
end

-- A launch of unknown fate that is given up is looked for a while longer: should its dyno appear, it is stopped.
local function unwatch(late)
  if dyno then redis.call('HDEL', KEYS[5], string.match(dyno, '^[^|]*')) end
  local unknown = '?' .. id .. '/' .. attempt
  if not late then
    redis.call('HDEL', KEYS[5], unknown)
    return
  end
  redis.call('HSET', KEYS[5], unknown, id .. '|' .. attempt .. '|' .. ARGV[12] .. '|' .. ARGV[6] .. '|' .. (now + 2 * tonumber(ARGV[13])))
  redis.call('SADD', KEYS[6], ARGV[17])
end

-- A run that is made again after a loss of Redis may have had launches that the record has forgotten. When their attempts are over,
-- their dynos are looked for as those of launches of unknown fate are, and stopped.
local function watch_forgotten(from, to)
  if not v[17] then return end
  for n = from, to do
    redis.call('HSET', KEYS[5], '?' .. id .. '/' .. n, id .. '|' .. n .. '|' .. ARGV[12] .. '|' .. ARGV[6] .. '|' .. (now + 2 * tonumber(ARGV[13])))
  end
  redis.call('SADD', KEYS[6], ARGV[17])
end

-- The same for what was launched in the epochs after the attempt's own, up to this one, and forgotten with them: the first two attempts of each of
-- the last ten.
local function watch_epochs(last)
  for epoch = math.max(math.floor((attempt - 1) / 100) + 2, last - 9), last do
    watch_forgotten((epoch - 1) * 100 + 1, (epoch - 1) * 100 + 2)
  end
end

-- A dyno is stopped only when its attempt is closed as failed, timed out, superseded or cancelled.
local function stop_dyno()
  if dyno and not death then redis.call('ZADD', KEYS[7], now, ARGV[17] .. '|' .. dyno) end
end

local function settle(as, code, detail)
  if phase == 'backoff' then list_retrying(-1) end
  unwatch(as ~= 'succeeded' and phase == 'intent')
  if as ~= 'succeeded' then
    watch_forgotten(dyno and attempt + 1 or attempt, attempt + 1)
    watch_epochs(tonumber(v[17] or '0'))
  end
  redis.call('HSET', run, 'p:' .. t, as)
  redis.call('HINCRBY', run, 'd' .. s, 1)
  redis.call('HDEL', run, 'g:' .. t, 'x:' .. t, 'c:' .. t, 'dl:' .. t, 'r:' .. t, 'q:' .. t)
  -- a launch of unknown fate stays known: an output of it that comes now is late, not one of nowhere
  if phase ~= 'intent' then redis.call('HDEL', run, 'i:' .. t) end
  if code then redis.call('HSET', run, 'e:' .. t, code .. '|' .. (detail or '')) end
  log(as, t, attempt, code and (code .. (detail ~= '' and ': ' .. detail or '')) or '')
end

local function verdict(code, detail, final)
  stop_dyno()
  local used = redis.call('HINCRBY', run, 'u:' .. t, 1)
  if not final and not failing and used <= tonumber(ARGV[8]) then
    unwatch()
    local delay = tonumber(ARGV[10])
    if ARGV[9] == 'exponential' then delay = math.min(delay * 2 ^ (used - 1), tonumber(ARGV[11])) end
    redis.call('HSET', run, 'p:' .. t, 'backoff', 'a:' .. t, attempt + 1, 'dl:' .. t, now + delay, 'e:' .. t, code .. '|' .. detail)
    redis.call('HDEL', run, 'x:' .. t, 'dy:' .. t, 'i:' .. t, 'c:' .. t)
    list_retrying(1)
    log('retry', t, attempt, code .. (detail ~= '' and ': ' .. detail or ''))
    attempt = attempt + 1
    death = nil
    return reply('retry', delay, dyno)
  end
  settle('failed', code, detail)
  if not failing then
    failing = t .. '|' .. code .. '|' .. detail
    redis.call('HSET', run, 'failing', failing)
    log('failing', t, attempt, code)
  end
  return reply('failed', 0, detail)
end

-- 2. Whatever is settled stays so.
if settled(phase) then return reply('settled', 0, phase) end
if v[16] then return { 'gone', 0, attempt, '', '', now } end

-- 3. Cancelled: everything is skipped and its dyno stopped. Failing: what was launched is awaited, the rest is skipped.
-- A task that cools has succeeded; a cancel ends the cooling and leaves its dyno alone.
if cancel and phase == 'cool' then
  settle('succeeded')
  return reply('settled', 0, 'succeeded')
end
if cancel then
  stop_dyno()
  settle('skipped', 'cancelled', '')
  return reply('settled', 0, 'skipped')
end
local launched = phase == 'intent' or phase == 'await' or phase == 'cool'
if failing and not launched and not out then
  settle('skipped')
  return reply('settled', 0, 'skipped')
end

-- 4. Not this step's turn, whatever BullMQ thinks.
if state == 'accepted' then return reply('park', 200) end
if not gate or (i > 0 and s > 0 and rel < s) then return reply('park', -1) end

-- 5. The output decides, whatever the exit status was.
if out then
  local due = tonumber(string.match(out, '^%d+')) + tonumber(ARGV[7])
  if now < due then
    if phase ~= 'cool' then
      unwatch()
      if phase == 'backoff' then list_retrying(-1) end
      redis.call('HSET', run, 'p:' .. t, 'cool', 'dl:' .. t, due)
      log('cooling', t, attempt)
    end
    return reply('park', due - now, 'cool')
  end
  settle('succeeded')
  return reply('settled', 0, 'succeeded')
end

-- A processor that dies in the same place again and again must not hold the run for ever.
if ARGV[18] ~= '0' and redis.call('HINCRBY', run, 'c:' .. t, 1) > tonumber(ARGV[18]) then
  return verdict('poisoned', ARGV[18] .. ' activations in a row got nowhere', true)
end

-- 6. Launched: the deadline, or the grace after the dyno's end. What is due is looked at once more by the caller.
if phase == 'await' then
  local deadline = tonumber(v[11])
  local due = deadline
  -- the output's event may come seconds after the dyno's end; a task without output has nothing to wait for
  local grace = ARGV[12] == '1' and 0 or tonumber(ARGV[14])
  if death then due = math.min(deadline, tonumber(string.match(death, '^%d+')) + grace) end
  if now < due then return reply('park', due - now) end
  if ARGV[15] == 'extend' and death and now < deadline then
    -- when it was seen first stays beside it: who asks again must know for how long already
    local first, kind = string.match(death, '^%d+|(%d+)|(.*)$')
    if not first then first, kind = string.match(death, '^(%d+)|(.*)$') end
    death = now .. '|' .. first .. '|' .. kind
    redis.call('HSET', run, 'x:' .. t, death)
    -- whom it asks in vain costs a call each time: ever more rarely, up to five graces
    return reply('park', math.min(deadline - now, math.max(tonumber(ARGV[14]), math.min(5 * tonumber(ARGV[14]), now - tonumber(first)))))
  end
  if ARGV[15] ~= '' and ARGV[15] ~= 'extend' then return verdict(ARGV[15], ARGV[16]) end
  if now >= deadline then return reply('check', 0, 'deadline') end
  return reply('check', 0, death)
end

-- 7. Somebody's intent: its POST may have been sent. It is never sent again; the dyno is looked for.
if phase == 'intent' then
  local token, since = string.match(v[10] or '', '^([^|]*)|(%d+)')
  if token == ARGV[5] then return launch() end
  local lost = tonumber(since) + tonumber(ARGV[13])
  redis.call('HSET', KEYS[5], '?' .. id .. '/' .. attempt, id .. '|' .. attempt .. '|' .. ARGV[12] .. '|' .. ARGV[6])
  redis.call('SADD', KEYS[6], ARGV[17])
  return reply('adopt', lost - now, now >= lost and 'last' or '')
end

-- 8. The launch budget goes first: a task that it made wait is rung when its turn comes.
if phase == 'backoff' and now < tonumber(v[11]) then return reply('park', tonumber(v[11]) - now) end
if ARGV[19] == 'held' and (phase == 'backoff' or phase == 'throttle') then
  if phase == 'throttle' then
    -- its turn would be of no use to it: it gives its place up, and says so once
    redis.call('HSET', run, 'p:' .. t, 'backoff')
    redis.call('HDEL', run, 'g:' .. t)
    grant = nil
    list_retrying(1)
    if told and not v[19] then log('refused', t, attempt, ARGV[16]) end
  end
  -- the customer's account still has no calls: this goes on, and nobody finds it overdue
  redis.call('HSET', run, 'dl:' .. t, now + tonumber(ARGV[20]))
  -- no refusal either (refused.lua)
  redis.call('HSETNX', run, 'q:' .. t, now)
  return reply('park', tonumber(ARGV[20]))
end
if ARGV[19] == '' or ARGV[19] == 'held' then return reply('ask', 0, phase) end
if ARGV[19] == 'queued' then
  if grant then
    -- it was granted between the asking and now: asking again finds that grant
    redis.call('HDEL', run, 'g:' .. t)
    return reply('ask')
  end
  if phase ~= 'throttle' then
    if phase == 'backoff' then list_retrying(-1) end
    redis.call('HSET', run, 'p:' .. t, 'throttle', 'a:' .. t, attempt)
    redis.call('HDEL', run, 'dl:' .. t)
    -- of a launch that was refused before: waiting for its turn is no refusal (refused.lua)
    if v[18] then redis.call('HSETNX', run, 'q:' .. t, now) end
    -- that it waits was told already where its account holds it back
    if told and not v[19] then log('queued', t, attempt) end
  end
  return reply('park', -1, 'throttle')
end

-- 9. State check and intent are one atom: no launch after a cancel, no second POST for an attempt. After a loss of Redis
-- nobody knows which attempts were launched: those of a later epoch have numbers of their own.
if v[17] then
  local first = (tonumber(v[17]) - 1) * 100 + 1
  if attempt < first then
    watch_forgotten(attempt, attempt + 1)
    watch_epochs(tonumber(v[17]) - 1)
    attempt = first
  end
end
redis.call('HSET', run, 'p:' .. t, 'intent', 'a:' .. t, attempt, 'i:' .. t, ARGV[5] .. '|' .. now)
redis.call('HDEL', run, 'dl:' .. t, 'g:' .. t)
-- it was of use: the park of this launch is not to find that something has changed
grant = nil
if v[19] then
  if v[18] then redis.call('HINCRBY', run, 'r:' .. t, now - tonumber(v[19])) end
  redis.call('HDEL', run, 'q:' .. t)
end
if phase == 'backoff' then list_retrying(-1) end
if told then log('intent', t, attempt) end
return launch()
