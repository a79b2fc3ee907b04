-- Milliseconds since 1970 by the clock of the node that has the key, by which it writes.
-- KEYS: any key   ARGV: none
return now
