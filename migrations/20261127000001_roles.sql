-- The product logs in as roles that own nothing and write nothing but through the functions below. A function runs with the
-- rights of the owner, does one thing, and does it only together with rows appended by the same transaction; and what was
-- appended is committed only if the head of the log moves with it. Who may call what stands in rights.sql.
--
-- Every function has a fixed search_path and names what it touches in full: nobody can put something else in its way.

-- A new function is its owner's alone, until rights.sql says otherwise.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- --- What belongs together -------------------------------------------------------------------------------------------

-- The events of the append under way: beyond the head, inserted by this very transaction (and by no savepoint of it).
CREATE FUNCTION appended_here()
RETURNS TABLE (stream_type text, stream_id uuid, event_type text, subject uuid, log_position bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.aggregate_type, e.aggregate_id, e.event_type, e.subject, e.position
      FROM public.events e
     WHERE e.position >= (SELECT h.size FROM public.ledger_head h)
       AND e.xmin = pg_catalog.pg_current_xact_id_if_assigned()::xid;
END;

-- Refuses to go on unless each of these streams has an event in the append under way.
CREATE FUNCTION require_appended(streams uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT unnest(streams) EXCEPT SELECT stream_id FROM public.appended_here()) THEN
        RAISE EXCEPTION 'no event of this transaction is about that' USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

-- Refuses to go on unless the append under way erases this subject.
CREATE FUNCTION require_erasure(erased uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.appended_here()
                    WHERE stream_type = 'custody' AND stream_id = erased AND event_type = 'SubjectErased') THEN
        RAISE EXCEPTION 'no event of this transaction erases that' USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

-- One row of an append is looked at when it is committed: its checkpoint. If the head has not moved to it, nothing of the
-- transaction stays.
CREATE FUNCTION require_moved_head() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.ledger_head WHERE size = NEW.size AND checkpoint = NEW.note) THEN
        RAISE EXCEPTION 'rows were appended and the head of the log was not moved with them'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER moves_the_head AFTER INSERT ON checkpoints
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_moved_head();

-- --- Events and checkpoints ------------------------------------------------------------------------------------------

CREATE FUNCTION append_events(
    first_position bigint, event_ids uuid[], stream_types text[], stream_ids uuid[], sequences bigint[], event_types text[],
    event_versions text[], subjects uuid[], command_ids uuid[], recorded timestamptz[], headers bytea[], statements bytea[],
    signatures bytea[], payloads bytea[], leaf_hashes bytea[], new_size bigint, new_checkpoint bytea
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF new_size <> first_position + cardinality(event_ids) THEN
        RAISE EXCEPTION 'a checkpoint is of the size that the log has with its events' USING ERRCODE = 'check_violation';
    END IF;
    IF new_size = first_position THEN
        RETURN; -- commands that changed nothing
    END IF;
    INSERT INTO public.checkpoints (size, note) VALUES (new_size, new_checkpoint);
    INSERT INTO public.events (position, event_id, aggregate_type, aggregate_id, sequence, event_type, event_version, subject,
                               command_id, recorded_at, header, statement, signature, payload, leaf_hash)
    SELECT first_position + n - 1, event_id, stream_type, stream_id, sequence, event_type, event_version, subject,
           command_id, recorded_at, header, statement, signature, payload, leaf_hash
      FROM unnest(event_ids, stream_types, stream_ids, sequences, event_types, event_versions, subjects, command_ids,
                  recorded, headers, statements, signatures, payloads, leaf_hashes)
           WITH ORDINALITY e(event_id, stream_type, stream_id, sequence, event_type, event_version, subject, command_id,
                             recorded_at, header, statement, signature, payload, leaf_hash, n);
END
$$;

-- --- Commands --------------------------------------------------------------------------------------------------------

CREATE FUNCTION append_commands(
    command_ids uuid[], request_macs bytea[], first_positions bigint[], event_counts int[], covered_by bigint
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.commands (command_id, request_mac, first_position, event_count, log_size)
    SELECT command_id, request_mac, first_position, event_count, covered_by
      FROM unnest(command_ids, request_macs, first_positions, event_counts)
           c(command_id, request_mac, first_position, event_count);
END
$$;

-- --- Tiles -----------------------------------------------------------------------------------------------------------

-- Only tiles that are complete with the append under way, and were not before it.
CREATE FUNCTION append_tiles(levels smallint[], indexes bigint[], hashes bytea[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    since bigint := (SELECT size FROM public.ledger_head);
    until bigint := (SELECT max(log_position) + 1 FROM public.appended_here());
BEGIN
    IF until IS NULL OR EXISTS (
        SELECT FROM unnest(levels, indexes) t(level, index)
         WHERE level NOT BETWEEN 0 AND 6 OR index NOT BETWEEN 0 AND (1::bigint << (54 - 8 * level))
            OR (index + 1) << (8 * (level + 1)) NOT BETWEEN since + 1 AND until
    ) THEN
        RAISE EXCEPTION 'no event of this transaction completes that tile' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO public.tiles (level, index, hashes)
    SELECT * FROM unnest(levels, indexes, hashes);
END
$$;

-- --- The head --------------------------------------------------------------------------------------------------------

-- Locks the head: from here on nobody else appends.
CREATE FUNCTION lock_ledger_head()
RETURNS TABLE (log_size bigint, log_frontier bytea, recorded_micros bigint, log_epoch bigint, log_checkpoint bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT size, frontier, (extract(epoch FROM last_recorded_at) * 1000000)::bigint, epoch, checkpoint
      FROM public.ledger_head FOR UPDATE;
END
$$;

-- Moves the right edge of the log, last of all in an append. The rows may have been inserted before the head was locked,
-- on the assumption that nobody else appends: if somebody did, or is about to, this refuses at once, and the rows with it.
-- It moves only to the checkpoint that this transaction has inserted, over the events that begin where the head stands.
CREATE OR REPLACE FUNCTION advance_ledger_head(
    expected_size bigint, expected_frontier bytea, expected_epoch bigint,
    new_size bigint, new_frontier bytea, new_checkpoint bytea, recorded_micros bigint, epochs int
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own xid := pg_current_xact_id_if_assigned()::xid;
BEGIN
    PERFORM 1 FROM public.ledger_head FOR UPDATE NOWAIT;
    IF new_size = expected_size THEN
        -- Commands that changed nothing were decided on this head, and leave it as it is.
        PERFORM 1 FROM public.ledger_head
          WHERE size = expected_size AND frontier = expected_frontier AND epoch = expected_epoch;
    ELSE
        IF NOT EXISTS (SELECT FROM public.checkpoints WHERE size = new_size AND note = new_checkpoint AND xmin = own)
           OR NOT EXISTS (SELECT FROM public.events WHERE position = expected_size AND xmin = own) THEN
            RAISE EXCEPTION 'the head of the log moves only with the events of its own transaction'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        UPDATE public.ledger_head
           SET size = new_size, frontier = new_frontier, checkpoint = new_checkpoint, epoch = epoch + greatest(epochs, 0),
               last_recorded_at = timestamptz 'epoch' + recorded_micros * interval '1 microsecond'
         WHERE size = expected_size AND frontier = expected_frontier AND epoch = expected_epoch;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the head of the log is not as it was left at %', expected_size USING ERRCODE = 'serialization_failure';
    END IF;
    PERFORM pg_notify('ledger_head', new_size::text);
END
$$;

-- Begins a log where there is none; the first append of the same transaction makes it one. Answers whether there was none:
-- whoever comes second waits for the first here.
CREATE FUNCTION begin_log(log_origin text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.ledger_head (origin, size, frontier, checkpoint, last_recorded_at)
    VALUES (log_origin, 0, '', '', 'epoch') ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;

CREATE FUNCTION require_begun_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.ledger_head WHERE size > 0) THEN
        RAISE EXCEPTION 'a log begins with its first event' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER begins_with_an_event AFTER INSERT ON ledger_head
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_begun_log();

-- --- Data keys -------------------------------------------------------------------------------------------------------

-- A subject gets its key with its first event.
CREATE FUNCTION insert_data_keys(key_ids uuid[], subjects uuid[], kek_ids text[], wraps bytea[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT unnest(subjects) EXCEPT SELECT subject FROM public.appended_here()) THEN
        RAISE EXCEPTION 'no event of this transaction is sealed for that subject' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO keyring.data_keys (key_id, subject, kek_id, wrapped)
    SELECT * FROM unnest(key_ids, subjects, kek_ids, wraps);
END
$$;

-- Destroys a key, with the event that says so.
CREATE FUNCTION destroy_data_key(erased uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.require_erasure(erased);
    UPDATE keyring.data_keys SET wrapped = NULL, destroyed_at = now() WHERE subject = erased AND wrapped IS NOT NULL;
END
$$;

-- Destroys keys of erased subjects that are there again, because the keys were restored from a backup older than the
-- erasure. The event is in the log already; every process learns of it by the epoch.
CREATE FUNCTION destroy_keys_again() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    destroyed bigint;
BEGIN
    -- The names stand in the statement, and are no parameters, so that the planner knows how few these events are.
    UPDATE keyring.data_keys k SET wrapped = NULL, destroyed_at = now()
      FROM public.events e
     WHERE e.aggregate_type = 'custody' AND e.event_type = 'SubjectErased'
       AND e.position < (SELECT size FROM public.ledger_head)
       AND k.subject = e.aggregate_id AND k.wrapped IS NOT NULL;
    GET DIAGNOSTICS destroyed = ROW_COUNT;
    IF destroyed > 0 THEN
        UPDATE public.ledger_head SET epoch = epoch + 1;
    END IF;
    RETURN destroyed;
END
$$;

-- Keeps a key from being destroyed before the transaction ends; answers whether it is there.
CREATE FUNCTION hold_data_key(held uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM keyring.data_keys WHERE key_id = held AND wrapped IS NOT NULL FOR SHARE;
    RETURN FOUND;
END
$$;

-- Puts a wrap in the place of the very one it was made from, under another key-encryption key. What is destroyed stays so.
CREATE FUNCTION rewrap_data_keys(key_ids uuid[], old_wraps bytea[], new_kek_id text, new_wraps bytea[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rewrapped bigint;
BEGIN
    UPDATE keyring.data_keys k SET kek_id = new_kek_id, wrapped = n.new_wrap
      FROM unnest(key_ids, old_wraps, new_wraps) n(key_id, old_wrap, new_wrap)
     WHERE k.key_id = n.key_id AND k.wrapped = n.old_wrap AND k.kek_id <> new_kek_id AND n.new_wrap IS NOT NULL;
    GET DIAGNOSTICS rewrapped = ROW_COUNT;
    RETURN rewrapped;
END
$$;

-- --- Strays ----------------------------------------------------------------------------------------------------------

-- Rows at or beyond the head that somebody has inserted who is none of the logins. Nothing reads these tables but the audit.
CREATE TABLE stray_events (LIKE events, found_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE stray_checkpoints (LIKE checkpoints, found_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE stray_tiles (LIKE tiles, found_at timestamptz NOT NULL DEFAULT now());

-- Whoever appends would meet them for ever, so they are moved out of the way, under the head's lock: what is at or beyond
-- the head then and visible belongs to no append. Each answers how many there were.
CREATE FUNCTION quarantine_stray_events() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head bigint := (SELECT log_size FROM public.lock_ledger_head());
    moved bigint;
BEGIN
    INSERT INTO public.stray_events SELECT e.* FROM public.events e WHERE e.position >= head;
    DELETE FROM public.events WHERE position >= head;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;

CREATE FUNCTION quarantine_stray_checkpoints() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head bigint := (SELECT log_size FROM public.lock_ledger_head());
    moved bigint;
BEGIN
    INSERT INTO public.stray_checkpoints SELECT c.* FROM public.checkpoints c WHERE c.size > head;
    DELETE FROM public.checkpoints WHERE size > head;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;

-- Whether a tree of this size has this tile, complete.
CREATE FUNCTION is_complete_tile(level smallint, index bigint, log_size bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN level BETWEEN 0 AND 6 AND index >= 0 AND index < (log_size >> (8 * (level + 1)));

CREATE FUNCTION quarantine_stray_tiles() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head bigint := (SELECT log_size FROM public.lock_ledger_head());
    moved bigint;
BEGIN
    INSERT INTO public.stray_tiles
    SELECT t.* FROM public.tiles t WHERE NOT public.is_complete_tile(t.level, t.index, head);
    DELETE FROM public.tiles t WHERE NOT public.is_complete_tile(t.level, t.index, head);
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;

-- Nothing leaves the log, whoever asks, but a stray of which this transaction has kept a copy.
CREATE FUNCTION refuse_removal() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head bigint := (SELECT size FROM public.ledger_head);
    own xid := pg_current_xact_id_if_assigned()::xid;
BEGIN
    IF TG_TABLE_NAME = 'events' THEN
        IF OLD.position >= head AND EXISTS (
            SELECT FROM public.stray_events s
             WHERE s.xmin = own AND s.position = OLD.position AND s.event_id = OLD.event_id
               AND s.statement = OLD.statement AND s.signature = OLD.signature AND s.payload = OLD.payload) THEN
            RETURN OLD;
        END IF;
    ELSIF TG_TABLE_NAME = 'checkpoints' THEN
        IF OLD.size > head AND EXISTS (
            SELECT FROM public.stray_checkpoints s WHERE s.xmin = own AND s.size = OLD.size AND s.note = OLD.note) THEN
            RETURN OLD;
        END IF;
    ELSIF TG_TABLE_NAME = 'tiles' THEN
        IF NOT public.is_complete_tile(OLD.level, OLD.index, head) AND EXISTS (
            SELECT FROM public.stray_tiles s
             WHERE s.xmin = own AND s.level = OLD.level AND s.index = OLD.index AND s.hashes = OLD.hashes) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['events', 'checkpoints', 'tiles'] LOOP
        EXECUTE format('DROP TRIGGER append_only ON %I', t);
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_log_change()', t);
        EXECUTE format('CREATE TRIGGER keeps_its_rows BEFORE DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION refuse_removal()', t);
    END LOOP;
    FOREACH t IN ARRAY ARRAY['stray_events', 'stray_checkpoints', 'stray_tiles'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_log_change()', t);
    END LOOP;
END
$$;
ALTER FUNCTION refuse_log_change() SET search_path = pg_catalog, pg_temp;
