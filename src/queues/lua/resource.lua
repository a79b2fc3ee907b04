-- Changes the record of an add-on resource when it is in one of the states that allow it. Claiming a new one, every step of
-- provisioning, rotating and removing, and the tombstone at the end are all this one decision.
-- KEYS: record   ARGV: (unused), (unused), states that allow it (JSON list; '' = there is no record), fields to set
-- (JSON object of texts), fields to remove before (JSON list; '*' = all), the start of Redis that it may be done on, or empty,
-- '1' when what goes into the archive beside it changes, fields that must still have these texts (JSON object, or absent)
-- Answers {1, state before} or {0, state that stands}; '' where there is none.
if on_another_start(ARGV[6]) then return { 0, 'changed' } end
local state = redis.call('HGET', KEYS[1], 'state')
if not state then
  state = redis.call('EXISTS', KEYS[1]) == 1 and 'provisioned' or ''
end
local allowed = false
for _, one in ipairs(cjson.decode(ARGV[3])) do
  if one == state then allowed = true end
end
if not allowed then return { 0, state } end
for name, text in pairs(cjson.decode(ARGV[8] or '{}')) do
  if redis.call('HGET', KEYS[1], name) ~= text then return { 0, state } end
end
local touched = ARGV[7] == '1'
for _, field in ipairs(cjson.decode(ARGV[5])) do
  if field == '*' then
    redis.call('DEL', KEYS[1])
    touched = true
  elseif redis.call('HDEL', KEYS[1], field) == 1 then
    touched = true
  end
end
local fields = cjson.decode(ARGV[4])
for name, value in pairs(fields) do
  if redis.call('HGET', KEYS[1], name) ~= value then touched = true end
  redis.call('HSET', KEYS[1], name, value)
end
-- of two copies of the same record the one that was changed more often is the later one
if touched then redis.call('HINCRBY', KEYS[1], 'rev', 1) end
if fields['state'] then redis.call('HSET', KEYS[1], 'changed', now) end
return { 1, state }
