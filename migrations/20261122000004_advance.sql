-- Moves the right edge of the log, last of all in an append. The rows may have been inserted before the head was locked,
-- on the assumption that nobody else appends: if somebody did, or is about to, this refuses at once, and the rows with it.
CREATE FUNCTION advance_ledger_head(
    expected_size bigint, expected_frontier bytea, expected_epoch bigint,
    new_size bigint, new_frontier bytea, new_checkpoint bytea, recorded_micros bigint, epochs int
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM ledger_head FOR UPDATE NOWAIT;
    UPDATE ledger_head
       SET size = new_size, frontier = new_frontier, checkpoint = new_checkpoint, epoch = epoch + epochs,
           last_recorded_at = timestamptz 'epoch' + recorded_micros * interval '1 microsecond'
     WHERE size = expected_size AND frontier = expected_frontier AND epoch = expected_epoch;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the head of the log is not as it was left at %', expected_size USING ERRCODE = 'serialization_failure';
    END IF;
    PERFORM pg_notify('ledger_head', new_size::text);
END
$$;
