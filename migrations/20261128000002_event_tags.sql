-- Each event with the ledger's own tag, so that a process that has just started need not check every signature again; see
-- docs/adr/0046-events-carry-a-tag.md. What was appended before has none, and is believed by its signature alone.

ALTER TABLE events ADD COLUMN tag bytea CHECK (octet_length(tag) = 32); -- HMAC of the leaf under a key of the ledger
ALTER TABLE stray_events ADD COLUMN tag bytea;

-- --- What a batch writes ---------------------------------------------------------------------------------------------

DROP FUNCTION append_log(bigint, uuid[], text[], uuid[], bigint[], text[], text[], uuid[], uuid[], timestamptz[], bytea[], bytea[], bytea[], bytea[],
                         bytea[], uuid[], uuid[], bytea[], bigint[], int[], bytea[], bigint, bytea);

-- As before (20261128000001_append.sql), with the tags.
CREATE FUNCTION append_log(
    first_position bigint, event_ids uuid[], stream_types text[], stream_ids uuid[], sequences bigint[], event_types text[],
    event_versions text[], subjects uuid[], commands_of uuid[], recorded timestamptz[], headers bytea[], statements bytea[],
    signatures bytea[], payloads bytea[], leaf_hashes bytea[],
    event_tags bytea[],
    actor_ids uuid[], command_ids uuid[], request_macs bytea[], first_positions bigint[], event_counts int[], tags bytea[],
    new_size bigint, new_checkpoint bytea
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    latest timestamptz;
BEGIN
    IF new_size <> first_position + cardinality(event_ids) THEN
        RAISE EXCEPTION 'a checkpoint is of the size that the log has with its events' USING ERRCODE = 'check_violation';
    END IF;
    IF array_position(tags, NULL) IS NOT NULL OR cardinality(tags) <> cardinality(command_ids) THEN
        RAISE EXCEPTION 'a command is appended with its tag' USING ERRCODE = 'check_violation';
    END IF;
    IF array_position(event_tags, NULL) IS NOT NULL OR cardinality(event_tags) <> cardinality(event_ids) THEN
        RAISE EXCEPTION 'an event is appended with its tag' USING ERRCODE = 'check_violation';
    END IF;
    WITH covered AS (
        -- Commands that changed nothing bring no checkpoint.
        INSERT INTO public.checkpoints (size, note) SELECT new_size, new_checkpoint WHERE new_size > first_position
    ), done AS (
        INSERT INTO public.commands (actor_id, command_id, request_mac, first_position, event_count, tag, log_size)
        SELECT c.actor_id, c.command_id, c.request_mac, c.first_position, c.event_count, c.tag, new_size
          FROM (SELECT unnest(actor_ids) AS actor_id, unnest(command_ids) AS command_id, unnest(request_macs) AS request_mac,
                       unnest(first_positions) AS first_position, unnest(event_counts) AS event_count, unnest(tags) AS tag) c
    ), appended AS (
        INSERT INTO public.events (position, event_id, aggregate_type, aggregate_id, sequence, event_type, event_version,
                                   subject, command_id, recorded_at, header, statement, signature, payload, leaf_hash, tag)
        SELECT append_log.first_position + e.n - 1, e.event_id, e.stream_type, e.stream_id, e.sequence, e.event_type,
               e.event_version, e.subject, e.command_id, e.recorded_at, e.header, e.statement, e.signature, e.payload,
               e.leaf_hash, e.tag
          FROM (SELECT generate_subscripts(event_ids, 1) AS n, unnest(event_ids) AS event_id,
                       unnest(stream_types) AS stream_type, unnest(stream_ids) AS stream_id, unnest(sequences) AS sequence,
                       unnest(event_types) AS event_type, unnest(event_versions) AS event_version,
                       unnest(subjects) AS subject, unnest(commands_of) AS command_id, unnest(recorded) AS recorded_at,
                       unnest(headers) AS header, unnest(statements) AS statement, unnest(signatures) AS signature,
                       unnest(payloads) AS payload, unnest(leaf_hashes) AS leaf_hash,
                       unnest(event_tags) AS tag) e
        RETURNING recorded_at
    )
    SELECT max(a.recorded_at) INTO latest FROM appended a;
    IF latest > clock_timestamp() + public.clock_bound() THEN
        IF latest > (SELECT h.last_recorded_at FROM public.ledger_head h) THEN
            RAISE EXCEPTION 'an event is % ahead of the clock of the database', latest - clock_timestamp()
                USING ERRCODE = 'datetime_field_overflow';
        END IF;
    END IF;
END
$$;

-- --- Strays ----------------------------------------------------------------------------------------------------------

-- As before (20261127000001_roles.sql), with the tag, which stands behind the time here.
CREATE OR REPLACE FUNCTION quarantine_stray_events() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head bigint := (SELECT log_size FROM public.lock_ledger_head());
    moved bigint;
BEGIN
    INSERT INTO public.stray_events (position, event_id, aggregate_type, aggregate_id, sequence, event_type, event_version,
                                     subject, command_id, recorded_at, header, statement, signature, payload, leaf_hash, tag)
    SELECT e.position, e.event_id, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, e.subject,
           e.command_id, e.recorded_at, e.header, e.statement, e.signature, e.payload, e.leaf_hash, e.tag
      FROM public.events e WHERE e.position >= head;
    DELETE FROM public.events WHERE position >= head;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
