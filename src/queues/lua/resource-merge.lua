-- Puts the record of a resource back as the archive has it, when Redis has none, one that is not as far in its life, or one that
-- was not changed as often: what was said to Heroku is never taken back by a Redis that forgot it.
-- KEYS: record   ARGV: (unused), (unused), the archived record (JSON object of texts), '1' to look alone and change nothing
-- Answers {1 when anything changed, the state that stands now}. Of a removed resource that stands here as one that was not, what is
-- left is to be removed: it becomes one that is being removed.
local RANKS = { provisioning = 0, provisioned = 2, failed = 3, deprovisioning = 4, removed = 5 }
-- one whose grant was exchanged is farther than one that still has it: the code works once
local function rank(state, partner)
  local found = RANKS[state or 'provisioned'] or 2
  if found == 0 and partner then return 1 end
  return found
end
local archived = cjson.decode(ARGV[3])
local looks = ARGV[4] == '1'
if redis.call('EXISTS', KEYS[1]) == 1 then
  local state = redis.call('HGET', KEYS[1], 'state')
  local stands = rank(state or nil, redis.call('HEXISTS', KEYS[1], 's:partner') == 1)
  local came = rank(archived['state'], archived['s:partner'])
  local newer = came > stands
  if came == stands and state ~= 'removed' then
    newer = tonumber(archived['rev'] or 0) > tonumber(redis.call('HGET', KEYS[1], 'rev') or 0)
  end
  if not newer then return { 0, state or 'provisioned' } end
  if archived['state'] == 'removed' then
    if state == 'deprovisioning' then return { 0, state } end
    if looks then return { 1, 'deprovisioning' } end
    redis.call('HSET', KEYS[1], 'state', 'deprovisioning', 'changed', now)
    redis.call('HDEL', KEYS[1], 's:grant', 's:pending', 'quiet')
    return { 1, 'deprovisioning' }
  end
  if not looks then redis.call('DEL', KEYS[1]) end
end
if looks then return { 1, archived['state'] or 'provisioned' } end
for name, value in pairs(archived) do redis.call('HSET', KEYS[1], name, value) end
return { 1, archived['state'] or 'provisioned' }
