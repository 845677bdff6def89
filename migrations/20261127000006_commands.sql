-- Commands by actor, authenticated; and a bound on the time of an event. See docs/adr/0033 and docs/adr/0036.

-- --- Commands --------------------------------------------------------------------------------------------------------

-- Whose command it was belongs to its key: nobody occupies anybody else's ids. The tag is over the whole row, under a
-- key that is never in the database; a row without one, or with another, is believed by nobody.
DROP TRIGGER append_only ON commands;
ALTER TABLE commands ADD COLUMN actor_id uuid, ADD COLUMN tag bytea CHECK (octet_length(tag) = 32);

-- Rows of before get the actor that the stored statement names, and no tag: the first process that opens the log proves
-- them against what is signed, and tags them then. What names no event has no actor, and stays without a tag.
CREATE FUNCTION pg_temp.actor_of(statement bytea) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
    RETURN (convert_from(statement, 'UTF8')::jsonb #>> '{actor,id}')::uuid;
EXCEPTION WHEN others THEN
    RETURN NULL; -- damaged: the audit names it
END
$$;
UPDATE commands c SET actor_id = coalesce(
    (SELECT pg_temp.actor_of(e.statement) FROM events e WHERE e.position = c.first_position AND c.event_count > 0),
    '00000000-0000-0000-0000-000000000000');
DROP FUNCTION pg_temp.actor_of(bytea);

ALTER TABLE commands ALTER COLUMN actor_id SET NOT NULL,
    DROP CONSTRAINT commands_pkey, ADD PRIMARY KEY (command_id, actor_id);
CREATE INDEX commands_untagged ON commands (first_position, command_id) WHERE tag IS NULL; -- empty, once they are taken over

-- A row changes once at most: it gets its tag.
CREATE FUNCTION refuse_command_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.tag IS NULL AND NEW.tag IS NOT NULL
       AND (OLD.command_id, OLD.actor_id, OLD.request_mac, OLD.first_position, OLD.event_count, OLD.log_size)
         = (NEW.command_id, NEW.actor_id, NEW.request_mac, NEW.first_position, NEW.event_count, NEW.log_size) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE TRUNCATE ON commands FOR EACH STATEMENT EXECUTE FUNCTION refuse_log_change();
CREATE TRIGGER keeps_its_rows BEFORE UPDATE OR DELETE ON commands FOR EACH ROW EXECUTE FUNCTION refuse_command_change();

DROP FUNCTION append_commands(uuid[], bytea[], bigint[], int[], bigint);
CREATE FUNCTION append_commands(
    actor_ids uuid[], command_ids uuid[], request_macs bytea[], first_positions bigint[], event_counts int[], tags bytea[],
    covered_by bigint
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF array_position(tags, NULL) IS NOT NULL OR cardinality(tags) <> cardinality(command_ids) THEN
        RAISE EXCEPTION 'a command is appended with its tag' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO public.commands (actor_id, command_id, request_mac, first_position, event_count, tag, log_size)
    SELECT actor_id, command_id, request_mac, first_position, event_count, tag, covered_by
      FROM unnest(actor_ids, command_ids, request_macs, first_positions, event_counts, tags)
           c(actor_id, command_id, request_mac, first_position, event_count, tag);
END
$$;

-- Gives rows of before their tags. Answers how many had none.
CREATE FUNCTION tag_commands(actor_ids uuid[], command_ids uuid[], tags bytea[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tagged bigint;
BEGIN
    UPDATE public.commands c SET tag = n.tag
      FROM unnest(actor_ids, command_ids, tags) n(actor_id, command_id, tag)
     WHERE c.command_id = n.command_id AND c.actor_id = n.actor_id AND c.tag IS NULL AND n.tag IS NOT NULL;
    GET DIAGNOSTICS tagged = ROW_COUNT;
    RETURN tagged;
END
$$;

-- --- Time ------------------------------------------------------------------------------------------------------------

-- How far an event may be ahead of this database's clock. Every process asks for less (LEDGER_CLOCK_SKEW_MAX): this
-- stands behind a comparison that is some seconds old.
CREATE FUNCTION clock_bound() RETURNS interval LANGUAGE sql STABLE RETURN interval '10 seconds';

-- As before, and no event is later than the clock here by more than that, unless one that is in the log already is.
CREATE OR REPLACE FUNCTION append_events(
    first_position bigint, event_ids uuid[], stream_types text[], stream_ids uuid[], sequences bigint[], event_types text[],
    event_versions text[], subjects uuid[], command_ids uuid[], recorded timestamptz[], headers bytea[], statements bytea[],
    signatures bytea[], payloads bytea[], leaf_hashes bytea[], new_size bigint, new_checkpoint bytea
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    latest timestamptz := (SELECT max(r) FROM unnest(recorded) r);
BEGIN
    IF new_size <> first_position + cardinality(event_ids) THEN
        RAISE EXCEPTION 'a checkpoint is of the size that the log has with its events' USING ERRCODE = 'check_violation';
    END IF;
    IF new_size = first_position THEN
        RETURN; -- commands that changed nothing
    END IF;
    IF latest > greatest(clock_timestamp() + public.clock_bound(), (SELECT last_recorded_at FROM public.ledger_head)) THEN
        RAISE EXCEPTION 'an event is % ahead of the clock of the database', latest - clock_timestamp()
            USING ERRCODE = 'datetime_field_overflow';
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
