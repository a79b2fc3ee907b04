-- Rings tasks without changing anything: the sweep's repair, and for tasks that are overdue by Redis' clock.
-- KEYS: run, history, delayed, marker   ARGV: run id, channel, task, task …
local rung = 0
for k = 3, #ARGV do rung = rung + wake(KEYS[3], KEYS[4], ARGV[1] .. '.' .. ARGV[k]) end
return rung
