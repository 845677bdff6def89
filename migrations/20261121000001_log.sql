-- The log: append-only, signed, globally ordered. Everything else in the product is derived from it.

CREATE EXTENSION IF NOT EXISTS btree_gist; -- claims_busy excludes by equality and overlap in one index

-- The role the application works under. Roles belong to the cluster, so it may be there already.
DO $$
BEGIN
    CREATE ROLE ledger_app NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

CREATE TABLE events (
    position       bigint PRIMARY KEY CHECK (position >= 0), -- dense from 0; the leaf index in the Merkle tree
    event_id       uuid NOT NULL,                            -- UUIDv7, as in the statement
    aggregate_type text NOT NULL,
    aggregate_id   uuid NOT NULL,
    sequence       bigint NOT NULL CHECK (sequence >= 1),    -- dense from 1 within the stream
    event_type     text NOT NULL,
    event_version  text NOT NULL,
    subject        uuid,                                     -- whose data key seals the payload; null: not about a person
    command_id     uuid NOT NULL,
    recorded_at    timestamptz NOT NULL,
    header         bytea NOT NULL,                           -- JWS protected header, JSON
    statement      bytea NOT NULL CHECK (octet_length(statement) <= 65536), -- JWS payload, JSON, the signed bytes
    signature      bytea NOT NULL CHECK (octet_length(signature) = 64),
    payload        bytea NOT NULL,                           -- sealed event body
    leaf_hash      bytea NOT NULL CHECK (octet_length(leaf_hash) = 32), -- RFC 9162: SHA-256(0x00 || compact JWS)
    UNIQUE (aggregate_type, aggregate_id, sequence)
);
CREATE INDEX events_subject ON events (subject, position);   -- a patient's history

-- One row: the right edge of the log. Locking it is what orders writers.
CREATE TABLE ledger_head (
    singleton        boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    origin           text NOT NULL,                          -- the log's identity (C2SP origin line)
    size             bigint NOT NULL CHECK (size >= 0),
    frontier         bytea NOT NULL,                         -- compact range: roots of the full subtrees, largest first
    checkpoint       bytea NOT NULL,                         -- signed note of `size`
    last_recorded_at timestamptz NOT NULL                    -- a later event may not claim a much earlier time
);

-- One signed checkpoint per append transaction.
CREATE TABLE checkpoints (
    size bigint PRIMARY KEY CHECK (size >= 1),
    note bytea NOT NULL
);

-- Complete tiles of 256 hashes (C2SP tlog-tiles), so that a proof reads O(log n) rows.
CREATE TABLE tiles (
    level  smallint NOT NULL,
    index  bigint NOT NULL,
    hashes bytea NOT NULL CHECK (octet_length(hashes) = 8192),
    PRIMARY KEY (level, index)
);

-- Every accepted command, so that a repeated one is answered alike.
CREATE TABLE commands (
    command_id     uuid PRIMARY KEY,
    request_mac    bytea NOT NULL CHECK (octet_length(request_mac) = 32), -- keyed: a plain hash of a short body could be guessed
    first_position bigint NOT NULL,
    event_count    integer NOT NULL CHECK (event_count >= 0),
    log_size       bigint NOT NULL                           -- the size of the checkpoint that covered it
);

-- What must be unique. Keys are keyed hashes: an MRN or a log-in name never stands here in the clear.
CREATE TABLE claims_unique (
    kind           text NOT NULL,
    key            bytea NOT NULL CHECK (octet_length(key) = 32),
    aggregate_type text NOT NULL,
    aggregate_id   uuid NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX claims_unique_holder ON claims_unique (aggregate_id);

-- What must not overlap. The constraint stands behind the sequencer's own check.
CREATE TABLE claims_busy (
    resource_kind  text NOT NULL,
    resource_id    uuid NOT NULL,
    during         tstzrange NOT NULL CHECK (NOT isempty(during)),
    aggregate_type text NOT NULL,
    aggregate_id   uuid NOT NULL,
    EXCLUDE USING gist (resource_kind WITH =, resource_id WITH =, during WITH &&)
);
CREATE INDEX claims_busy_holder ON claims_busy (aggregate_id);

-- Data keys, wrapped by a key-encryption key that is never in the database. A schema of their own, so
-- that they are backed up apart from the log: a restored log must not bring a destroyed key back.
CREATE SCHEMA keyring;
CREATE TABLE keyring.data_keys (
    key_id       uuid PRIMARY KEY,
    subject      uuid NOT NULL UNIQUE,
    kek_id       text NOT NULL,
    wrapped      bytea,                                      -- null once destroyed
    destroyed_at timestamptz,
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
);

-- Nobody edits the log: the application's role has no such right, and this refuses everybody else.
CREATE FUNCTION refuse_log_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['events', 'checkpoints', 'tiles', 'commands'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_log_change()', t);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO ledger_app', t);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE ON ledger_head TO ledger_app;
GRANT SELECT, INSERT, DELETE ON claims_unique, claims_busy TO ledger_app;
GRANT USAGE ON SCHEMA keyring TO ledger_app;
GRANT SELECT, INSERT, UPDATE ON keyring.data_keys TO ledger_app;
