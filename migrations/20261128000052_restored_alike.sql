-- A function whose body is kept as a tree is written down again by a dump, and `BETWEEN` comes back as another tree than it
-- went: a restored database then looked as if somebody had changed the function. In this form it comes back as it is.
CREATE OR REPLACE FUNCTION is_complete_tile(level smallint, index bigint, log_size bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN level >= 0 AND level <= 6 AND index >= 0 AND index < (log_size >> (8 * (level + 1)));
