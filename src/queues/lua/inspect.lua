-- What in the runs that have not ended should move and does not. Looks at runs in the order of their age from a rank on, until
-- so many fields were read that Redis should serve others. Answers with the number of runs in scope, the number looked at, and
-- of each run that needs somebody: id, state ('' when its record is gone), resource, seconds that it may take when it has taken
-- longer (0: it has not), tasks that should move, tasks that wait for the launch budget, tasks that should move and
-- have no job any more, 1 when all tasks have settled, 1 when the root job exists.
-- KEYS: live   ARGV: (unused), (unused), accepted before (ms), rank, milliseconds that a timer may be overdue, fields at most,
-- milliseconds after which a launch of unknown fate is looked for by whoever is rung, milliseconds of a grace
local p = string.match(KEYS[1], '^{[^}]*}')
local late, most = tonumber(ARGV[5]), tonumber(ARGV[6])
local scope = redis.call('ZCOUNT', KEYS[1], '-inf', ARGV[3])
local rank = tonumber(ARGV[4])

local function inspect(id)
  local flat = redis.call('HGETALL', p .. ':run:' .. id)
  local r = {}
  for k = 1, #flat, 2 do r[flat[k]] = flat[k + 1] end
  most = most - #flat - 10
  local state = r.state
  if not state then return { id, '', '', 0, {}, {}, {}, 1, 0 } end
  local due, throttled, lost, open = {}, {}, {}, 0
  local rel = tonumber(r.rel or '0')
  for s = 0, tonumber(r.steps or '0') - 1 do
    -- whether the step before has settled
    local begun = s == 0 or tonumber(r['d' .. (s - 1)] or '0') >= tonumber(r['n' .. (s - 1)])
    local released = s == 0 or rel >= s
    for i = 0, tonumber(r['n' .. s] or '0') - 1 do
      local t = s .. '.' .. i
      local phase = r['p:' .. t] or 'new'
      if not settled(phase) then
        open = open + 1
        if phase == 'throttle' then throttled[#throttled + 1] = t end
        local new = phase == 'new'
        local deadline = r['dl:' .. t]
        -- it has no deadline in the record, and who parked it may have done so by a clock that was ahead
        local intent = phase == 'intent' and tonumber(string.match(r['i:' .. t] or '', '|(%d+)'))
        -- nor has the grace after a dyno's end: it may be extended by five of its lengths (enter.lua)
        local death = phase == 'await' and tonumber(string.match(r['x:' .. t] or '', '^%d+'))
        local moves = r.cancel
          or (r['o:' .. t] and phase ~= 'cool')
          or (r.failing and released and (new or phase == 'throttle' or phase == 'backoff'))
          or (new and s > 0 and ((i > 0 and released) or (i == 0 and begun)))
          or (deadline and now - tonumber(deadline) > late)
          or (intent and now - intent > tonumber(ARGV[7]))
          or (death and now - death > 5 * tonumber(ARGV[8]) + late)
        if moves then due[#due + 1] = t end
        -- nothing but the task's own job has to move it: it may wait in a queue, but must not be missing there
        local turn = begun and (new or phase == 'throttle' or phase == 'intent' or (phase == 'await' and r['x:' .. t]))
        if state == 'running' and (moves or turn) and redis.call('EXISTS', p .. ':task:' .. id .. '.' .. t) == 0 then
          lost[#lost + 1] = t
        end
      end
    end
  end
  local timeout = tonumber(r.timeout or '0')
  local expired = (timeout > 0 and not r.cancel and now - tonumber(r.at) > timeout) and timeout / 1000 or 0
  local root = open > 0 and 1 or redis.call('EXISTS', p .. ':finish:' .. id)
  if open == 0 and root == 1 then
    -- its retry comes a second after a failure; one that is farther off was put there by a clock that was ahead
    local score = redis.call('ZSCORE', p .. ':finish:delayed', id)
    if score and tonumber(score) / 4096 > now + late then wake(p .. ':finish:delayed', p .. ':finish:marker', id) end
  end
  if state ~= 'accepted' and expired == 0 and #due + #throttled + #lost == 0 and root == 1 then return nil end
  return { id, state, r.resource or '', expired, due, throttled, lost, open == 0 and 1 or 0, root }
end

local found, looked = {}, 0
while most > 0 and rank + looked < scope do
  local ids = redis.call('ZRANGE', KEYS[1], rank + looked, math.min(scope, rank + looked + 50) - 1)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    if most <= 0 then break end
    looked = looked + 1
    found[#found + 1] = inspect(id)
  end
end
return { scope, looked, unpack(found) }
