-- States of long streams, so that a load reads the newest one and only the events after it. A cache: what
-- stands here is derived from the log, is never evidence, and may be dropped at any time.

CREATE TABLE snapshots (
    aggregate_type text NOT NULL,
    aggregate_id   uuid NOT NULL,
    state_version  integer NOT NULL CHECK (state_version >= 1), -- the form of the state; another one is not read
    version        bigint NOT NULL CHECK (version >= 1),        -- the sequence of the last event in it
    subject        uuid,                                        -- whose data key seals it; null: nobody's
    key_id         uuid,
    sealed         bytea NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, state_version),  -- two releases side by side keep one each
    CHECK ((subject IS NULL) = (key_id IS NULL))
);
CREATE INDEX snapshots_subject ON snapshots (subject);          -- to purge a person's
GRANT SELECT, INSERT, UPDATE, DELETE ON snapshots TO ledger_app;
