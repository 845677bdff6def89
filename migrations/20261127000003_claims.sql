-- Claims that can be believed. What is taken decides what may be granted, so neither a row nor the absence of one is taken
-- from these tables unproved: rows lie in buckets, the digest of a bucket is a tag over all of its rows under a key that is
-- never in the database, and the seal is such a tag over the digests of all buckets, bound to the size and the frontier of
-- the log. A process reads the buckets that a command touches whole. See docs/adr/0037-claims-in-sealed-buckets.md.

-- 65,536 buckets, by a keyed hash of what is claimed. -1: written before there were buckets; no process believes such a
-- row, and the first that opens the log makes all of them again.
ALTER TABLE claims_unique ADD COLUMN bucket int NOT NULL DEFAULT -1;
ALTER TABLE claims_unique ALTER COLUMN bucket DROP DEFAULT;
ALTER TABLE claims_unique DROP CONSTRAINT claims_unique_pkey, ADD PRIMARY KEY (bucket, kind, key); -- read by the bucket
ALTER TABLE claims_busy ADD COLUMN bucket int NOT NULL DEFAULT -1;
ALTER TABLE claims_busy ALTER COLUMN bucket DROP DEFAULT;
CREATE INDEX claims_busy_bucket ON claims_busy (bucket);

CREATE TABLE claims_buckets (
    bucket int PRIMARY KEY,
    size   bigint NOT NULL,  -- of the log, with the append that changed it last: where another process begins to read
    digest bytea NOT NULL    -- tag over the bucket's rows; a bucket without rows has no row here
);
CREATE INDEX claims_buckets_size ON claims_buckets (size);

CREATE TABLE claims_seal (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    size      bigint NOT NULL, -- of the log, as of which it holds
    tag       bytea NOT NULL   -- tag over size, frontier and the digests of all buckets
);

-- What an append changes, after its events are written. Refused unless every stream that takes or gives back a claim has an
-- event in this very transaction, or is one of the subject's who is erased by it.
CREATE FUNCTION change_claims(
    first_position bigint, new_size bigint, erased uuid,
    gone_buckets int[], gone_kinds text[], gone_keys bytea[], released uuid[],
    unique_buckets int[], unique_kinds text[], unique_keys bytea[], unique_types text[], unique_streams uuid[],
    busy_buckets int[], busy_kinds text[], busy_ids uuid[], busy_since timestamptz[], busy_until timestamptz[],
    busy_types text[], busy_streams uuid[],
    changed_buckets int[], digests bytea[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (
        (SELECT c.aggregate_id FROM unnest(gone_buckets, gone_kinds, gone_keys) q(bucket, kind, key)
           JOIN public.claims_unique c ON c.bucket = q.bucket AND c.kind = q.kind AND c.key = q.key
         UNION ALL SELECT unnest(released || unique_streams || busy_streams))
        EXCEPT
        (SELECT aggregate_id FROM public.events
          WHERE position >= first_position AND xmin = pg_current_xact_id()::xid
         UNION ALL
         SELECT e.aggregate_id FROM public.events e
          WHERE e.subject = erased AND EXISTS (
                SELECT 1 FROM public.events s WHERE s.position >= first_position AND s.xmin = pg_current_xact_id()::xid
                   AND s.event_type = 'SubjectErased' AND s.aggregate_id = erased))
    ) THEN
        RAISE EXCEPTION 'a claim changes only with an event of its stream' USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM public.claims_busy WHERE aggregate_id = ANY(released);
    DELETE FROM public.claims_unique c USING unnest(gone_buckets, gone_kinds, gone_keys) q(bucket, kind, key)
     WHERE c.bucket = q.bucket AND c.kind = q.kind AND c.key = q.key;
    INSERT INTO public.claims_unique (bucket, kind, key, aggregate_type, aggregate_id)
    SELECT * FROM unnest(unique_buckets, unique_kinds, unique_keys, unique_types, unique_streams);
    INSERT INTO public.claims_busy (bucket, resource_kind, resource_id, during, aggregate_type, aggregate_id)
    SELECT bucket, kind, id, tstzrange(since, until), type, stream
      FROM unnest(busy_buckets, busy_kinds, busy_ids, busy_since, busy_until, busy_types, busy_streams)
           b(bucket, kind, id, since, until, type, stream);
    PERFORM public.put_claims_digests(new_size, changed_buckets, digests);
END
$$;

-- The digests of buckets; null: nothing is left in it.
CREATE FUNCTION put_claims_digests(new_size bigint, changed_buckets int[], digests bytea[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.claims_buckets (bucket, size, digest)
    SELECT bucket, new_size, coalesce(digest, '') FROM unnest(changed_buckets, digests) d(bucket, digest)
    ON CONFLICT (bucket) DO UPDATE SET size = excluded.size, digest = excluded.digest;
END
$$;

-- The seal of the log as it is now: sent with each move of the head, in the same round trip.
CREATE FUNCTION seal_claims(sealed_size bigint, new_tag bytea)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF sealed_size IS DISTINCT FROM (SELECT size FROM public.ledger_head) THEN
        RAISE EXCEPTION 'a seal is for the log as it is' USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE public.claims_seal SET size = sealed_size, tag = new_tag;
    IF NOT FOUND THEN
        INSERT INTO public.claims_seal (size, tag) VALUES (sealed_size, new_tag);
    END IF;
END
$$;

-- For making claims again from the log: empties buckets, and removes what lies in none.
CREATE FUNCTION clear_claims(cleared int[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.claims_unique WHERE bucket = ANY(cleared) OR bucket NOT BETWEEN 0 AND 65535;
    DELETE FROM public.claims_busy WHERE bucket = ANY(cleared) OR bucket NOT BETWEEN 0 AND 65535;
    DELETE FROM public.claims_buckets WHERE bucket = ANY(cleared) OR bucket NOT BETWEEN 0 AND 65535;
END
$$;

-- The same: fills them.
CREATE FUNCTION restore_claims(
    log_size bigint,
    unique_buckets int[], unique_kinds text[], unique_keys bytea[], unique_types text[], unique_streams uuid[],
    busy_buckets int[], busy_kinds text[], busy_ids uuid[], busy_since timestamptz[], busy_until timestamptz[],
    busy_types text[], busy_streams uuid[],
    restored_buckets int[], digests bytea[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.claims_unique (bucket, kind, key, aggregate_type, aggregate_id)
    SELECT * FROM unnest(unique_buckets, unique_kinds, unique_keys, unique_types, unique_streams);
    INSERT INTO public.claims_busy (bucket, resource_kind, resource_id, during, aggregate_type, aggregate_id)
    SELECT bucket, kind, id, tstzrange(since, until), type, stream
      FROM unnest(busy_buckets, busy_kinds, busy_ids, busy_since, busy_until, busy_types, busy_streams)
           b(bucket, kind, id, since, until, type, stream);
    PERFORM public.put_claims_digests(log_size, restored_buckets, digests);
END
$$;
