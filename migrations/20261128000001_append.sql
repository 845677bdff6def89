-- An append in two calls, each of one statement: what is written before the head is locked, and the move of the head with
-- the seal of the claims. Every call and every statement inside one costs as much as the rows of several events; see
-- docs/adr/0044-an-append-in-two-statements.md.

-- --- What a batch writes ---------------------------------------------------------------------------------------------

DROP FUNCTION append_events(bigint, uuid[], text[], uuid[], bigint[], text[], text[], uuid[], uuid[], timestamptz[], bytea[],
                            bytea[], bytea[], bytea[], bytea[], bigint, bytea);
DROP FUNCTION append_commands(uuid[], uuid[], bytea[], bigint[], int[], bytea[], bigint);

-- Events with their checkpoint, and the commands they come of. No event is later than the clock here by more than
-- clock_bound(), unless one that is in the log already is. The arrays are taken apart where they are selected, and not in
-- FROM, which would keep each of them once more.
CREATE FUNCTION append_log(
    first_position bigint, event_ids uuid[], stream_types text[], stream_ids uuid[], sequences bigint[], event_types text[],
    event_versions text[], subjects uuid[], commands_of uuid[], recorded timestamptz[], headers bytea[], statements bytea[],
    signatures bytea[], payloads bytea[], leaf_hashes bytea[],
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
                                   subject, command_id, recorded_at, header, statement, signature, payload, leaf_hash)
        SELECT append_log.first_position + e.n - 1, e.event_id, e.stream_type, e.stream_id, e.sequence, e.event_type,
               e.event_version, e.subject, e.command_id, e.recorded_at, e.header, e.statement, e.signature, e.payload,
               e.leaf_hash
          FROM (SELECT generate_subscripts(event_ids, 1) AS n, unnest(event_ids) AS event_id,
                       unnest(stream_types) AS stream_type, unnest(stream_ids) AS stream_id, unnest(sequences) AS sequence,
                       unnest(event_types) AS event_type, unnest(event_versions) AS event_version,
                       unnest(subjects) AS subject, unnest(commands_of) AS command_id, unnest(recorded) AS recorded_at,
                       unnest(headers) AS header, unnest(statements) AS statement, unnest(signatures) AS signature,
                       unnest(payloads) AS payload, unnest(leaf_hashes) AS leaf_hash) e
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

-- --- The head --------------------------------------------------------------------------------------------------------

DROP FUNCTION advance_ledger_head(bigint, bytea, bigint, bigint, bytea, bytea, bigint, int);

-- Moves the right edge of the log, last of all in an append, and seals the claims as of there, unless there is no tag. The
-- rows may have been inserted before the head was locked, on the assumption that nobody else appends: if somebody did, or
-- is about to, this refuses at once, and the rows with it. It moves only to the checkpoint that this transaction has
-- inserted, over the events that begin where the head stands.
CREATE FUNCTION advance_ledger_head(
    expected_size bigint, expected_frontier bytea, expected_epoch bigint,
    new_size bigint, new_frontier bytea, new_checkpoint bytea, recorded_micros bigint, epochs int, claims_tag bytea
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own xid := pg_current_xact_id_if_assigned()::xid;
    moved_to bigint;
    seals bigint;
    told text;
BEGIN
    WITH locked AS MATERIALIZED (
        SELECT l.singleton FROM public.ledger_head l FOR UPDATE NOWAIT
    ), moved AS (
        UPDATE public.ledger_head h
           SET size = new_size, frontier = new_frontier, checkpoint = new_checkpoint, epoch = h.epoch + greatest(epochs, 0),
               last_recorded_at = timestamptz 'epoch' + recorded_micros * interval '1 microsecond'
          FROM locked l
         WHERE h.singleton = l.singleton AND new_size > expected_size
           AND h.size = expected_size AND h.frontier = expected_frontier AND h.epoch = expected_epoch
           AND EXISTS (SELECT FROM public.checkpoints c
                        WHERE c.size = new_size AND c.note = new_checkpoint AND c.xmin = own)
           AND EXISTS (SELECT FROM public.events e WHERE e.position = expected_size AND e.xmin = own)
        RETURNING h.size
    ), sealed AS (
        UPDATE public.claims_seal s SET size = new_size, tag = claims_tag
          FROM moved m WHERE claims_tag IS NOT NULL
        RETURNING s.singleton
    )
    SELECT m.size, (SELECT count(*) FROM sealed), pg_notify('ledger_head', new_size::text)::text
      INTO moved_to, seals, told FROM moved m;
    IF moved_to IS NULL THEN
        IF new_size = expected_size THEN
            -- Commands that changed nothing were decided on this head, and leave it as it is.
            PERFORM FROM public.ledger_head h
              WHERE h.size = expected_size AND h.frontier = expected_frontier AND h.epoch = expected_epoch;
            IF FOUND THEN
                RETURN;
            END IF;
        ELSIF NOT EXISTS (SELECT FROM public.checkpoints c
                           WHERE c.size = new_size AND c.note = new_checkpoint AND c.xmin = own)
           OR NOT EXISTS (SELECT FROM public.events e WHERE e.position = expected_size AND e.xmin = own) THEN
            RAISE EXCEPTION 'the head of the log moves only with the events of its own transaction'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RAISE EXCEPTION 'the head of the log is not as it was left at %', expected_size USING ERRCODE = 'serialization_failure';
    END IF;
    IF claims_tag IS NOT NULL AND seals = 0 THEN
        INSERT INTO public.claims_seal (size, tag) VALUES (new_size, claims_tag);
    END IF;
END
$$;
