-- Every snapshot carries a tag under a key outside the database; what has none is dropped, for it is a cache. Streams
-- that decide about access or erasure keep no snapshots, and all the others are about somebody.
TRUNCATE snapshots;
ALTER TABLE snapshots
    ALTER COLUMN subject SET NOT NULL,
    ALTER COLUMN key_id SET NOT NULL,
    ADD COLUMN mac bytea NOT NULL CHECK (octet_length(mac) = 32);
