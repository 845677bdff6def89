-- Which key-encryption key wraps, for all processes at once, and who holds which. A data key is never stored under another
-- one than the current: whoever wraps with an older one, because it was not told, is refused, and wraps again.

CREATE TABLE keyring.key_encryption (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    kek_id  text NOT NULL,
    epoch   bigint NOT NULL,
    since   timestamptz NOT NULL DEFAULT now()
);

-- What the processes say of themselves: `ledger keys rewrap` waits for those who lack the new key. No safety rests on it.
CREATE TABLE keyring.holders (
    process    uuid PRIMARY KEY,
    name       text NOT NULL CHECK (length(name) <= 200),
    login      text NOT NULL,
    kek_ids    text[] NOT NULL CHECK (cardinality(kek_ids) <= 64),
    heartbeat  timestamptz NOT NULL
);

-- How long after its last heartbeat a process counts as living.
CREATE FUNCTION holder_bound() RETURNS interval LANGUAGE sql STABLE RETURN interval '30 seconds';

-- The share lock makes a change of the current key wait for every wrap under way, and a wrap for the change.
CREATE FUNCTION require_current_wrap() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    current text;
BEGIN
    SELECT kek_id INTO current FROM keyring.key_encryption FOR SHARE;
    IF current IS DISTINCT FROM NEW.kek_id THEN
        RAISE EXCEPTION 'the current key-encryption key is %, not %', coalesce(current, 'not known'), NEW.kek_id
            USING ERRCODE = 'KE001';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER wraps_with_the_current_key BEFORE INSERT OR UPDATE OF wrapped, kek_id ON keyring.data_keys
    FOR EACH ROW WHEN (NEW.wrapped IS NOT NULL) EXECUTE FUNCTION require_current_wrap();

-- Names the first current key, where there is none.
CREATE FUNCTION begin_key_encryption(first_kek_id text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO keyring.key_encryption (kek_id, epoch) VALUES (first_kek_id, 0) ON CONFLICT DO NOTHING;
END
$$;

-- Puts another key in the place of the current one, unless a living process lacks it. Answers the new epoch; null if nothing
-- was changed.
CREATE FUNCTION change_key_encryption(old_kek_id text, new_kek_id text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    new_epoch bigint;
BEGIN
    IF EXISTS (SELECT FROM keyring.holders
                WHERE heartbeat > clock_timestamp() - public.holder_bound() AND NOT new_kek_id = ANY (kek_ids)) THEN
        RETURN NULL;
    END IF;
    UPDATE keyring.key_encryption SET kek_id = new_kek_id, epoch = epoch + 1, since = clock_timestamp()
     WHERE kek_id = old_kek_id AND old_kek_id <> new_kek_id RETURNING epoch INTO new_epoch;
    RETURN new_epoch;
END
$$;

CREATE FUNCTION tell_held_keys(of_process uuid, by_name text, held text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM keyring.holders WHERE heartbeat < clock_timestamp() - interval '1 day';
    INSERT INTO keyring.holders (process, name, login, kek_ids, heartbeat)
    VALUES (of_process, left(by_name, 200), session_user, held, clock_timestamp())
    ON CONFLICT (process) DO UPDATE SET kek_ids = excluded.kek_ids, heartbeat = excluded.heartbeat;
END
$$;

CREATE FUNCTION forget_held_keys(of_process uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM keyring.holders WHERE process = of_process;
END
$$;
