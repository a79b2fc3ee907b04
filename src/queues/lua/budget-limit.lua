-- How many dynos the resource's plan allows now: tasks that wait ask nothing, so a larger plan is told to the budget by whoever notices it.
-- Answers whether launches of the resource may begin that could not before.
-- KEYS: budget   ARGV: per hour, burst, resource, concurrency (0: no limit)
return set_limit(ARGV[3], ARGV[4])
