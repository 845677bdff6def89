-- Data keys are bound to their subject, and only the log says who is erased. See docs/adr/0034.

-- --- What a key is bound to ------------------------------------------------------------------------------------------

-- What kind of subject, and which form the wrap has. Rows of before get the kind that the log's streams tell, and stay of
-- version 1, which binds the id of the key alone: the first process that opens the log proves them against what is signed, and
-- binds them then. An empty row has no wrap to bind.
ALTER TABLE keyring.data_keys
    ADD COLUMN kind text NOT NULL DEFAULT 'patient' CHECK (kind IN ('patient', 'account')),
    ADD COLUMN wrap_version smallint NOT NULL DEFAULT 1 CHECK (wrap_version IN (1, 2));
UPDATE keyring.data_keys k SET kind = 'account'
 WHERE EXISTS (SELECT FROM events e WHERE e.aggregate_type = 'account' AND e.aggregate_id = k.subject);
ALTER TABLE keyring.data_keys ALTER COLUMN kind DROP DEFAULT, ALTER COLUMN wrap_version DROP DEFAULT;
CREATE INDEX data_keys_unbound ON keyring.data_keys (key_id) WHERE wrap_version = 1 AND wrapped IS NOT NULL;

-- A subject gets its key with its first event.
DROP FUNCTION insert_data_keys(uuid[], uuid[], text[], bytea[]);
CREATE FUNCTION insert_data_keys(
    key_ids uuid[], subjects uuid[], kinds text[], versions smallint[], kek_ids text[], wraps bytea[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT unnest(subjects) EXCEPT SELECT subject FROM public.appended_here()) THEN
        RAISE EXCEPTION 'no event of this transaction is sealed for that subject' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF EXISTS (SELECT subject, kind FROM unnest(subjects, kinds) k(subject, kind)
               EXCEPT SELECT stream_id, stream_type FROM public.appended_here()) THEN
        RAISE EXCEPTION 'no subject of that kind begins with this transaction' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO keyring.data_keys (key_id, subject, kind, wrap_version, kek_id, wrapped)
    SELECT * FROM unnest(key_ids, subjects, kinds, versions, kek_ids, wraps);
END
$$;

-- Puts a bound wrap in the place of the very one of before that it was made from. Whoever calls this has proved by the log
-- whose key it is.
CREATE FUNCTION bind_data_keys(key_ids uuid[], kinds text[], old_wraps bytea[], new_kek_ids text[], new_wraps bytea[])
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bound bigint;
BEGIN
    UPDATE keyring.data_keys k SET kind = n.kind, wrap_version = 2, kek_id = n.new_kek_id, wrapped = n.new_wrap
      FROM unnest(key_ids, kinds, old_wraps, new_kek_ids, new_wraps) n(key_id, kind, old_wrap, new_kek_id, new_wrap)
     WHERE k.key_id = n.key_id AND k.wrap_version = 1 AND k.wrapped = n.old_wrap AND n.new_wrap IS NOT NULL;
    GET DIAGNOSTICS bound = ROW_COUNT;
    RETURN bound;
END
$$;

-- As before, for bound wraps alone: one of version 1 is bound first.
CREATE OR REPLACE FUNCTION rewrap_data_keys(key_ids uuid[], old_wraps bytea[], new_kek_id text, new_wraps bytea[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rewrapped bigint;
BEGIN
    UPDATE keyring.data_keys k SET kek_id = new_kek_id, wrapped = n.new_wrap
      FROM unnest(key_ids, old_wraps, new_wraps) n(key_id, old_wrap, new_wrap)
     WHERE k.key_id = n.key_id AND k.wrapped = n.old_wrap AND k.kek_id <> new_kek_id AND k.wrap_version = 2
       AND n.new_wrap IS NOT NULL;
    GET DIAGNOSTICS rewrapped = ROW_COUNT;
    RETURN rewrapped;
END
$$;

-- --- Erasure ---------------------------------------------------------------------------------------------------------

-- Destroys keys of erased subjects that are there again, because the keys were restored from a backup older than the
-- erasure. The caller names whom the log erases, and has proved it; a row of the log must say so as well. Every process learns
-- of it by the epoch.
DROP FUNCTION destroy_keys_again();
CREATE FUNCTION destroy_keys_again(erased uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    destroyed bigint;
BEGIN
    -- The names stand in the statement, and are no parameters, so that the planner knows how few these events are.
    UPDATE keyring.data_keys k SET wrapped = NULL, destroyed_at = now()
      FROM public.events e
     WHERE e.aggregate_type = 'custody' AND e.event_type = 'SubjectErased'
       AND e.position < (SELECT size FROM public.ledger_head) AND e.aggregate_id = ANY (erased)
       AND k.subject = e.aggregate_id AND k.wrapped IS NOT NULL;
    GET DIAGNOSTICS destroyed = ROW_COUNT;
    IF destroyed > 0 THEN
        UPDATE public.ledger_head SET epoch = epoch + 1;
    END IF;
    RETURN destroyed;
END
$$;
