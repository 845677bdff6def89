-- Counts what changes which events may be appended or opened: erasures now, the log's own key events later.
-- A process reads it with the locked head, and learns what changed only when it is another than it saw last.
ALTER TABLE ledger_head ADD COLUMN epoch bigint NOT NULL DEFAULT 0;

-- The destroyed keys are few among many.
CREATE INDEX data_keys_destroyed ON keyring.data_keys (subject) WHERE wrapped IS NULL;
