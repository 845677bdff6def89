-- Practitioners have data keys of a kind of their own. See docs/adr/0051.

ALTER TABLE keyring.data_keys
    DROP CONSTRAINT data_keys_kind_check,
    ADD CONSTRAINT data_keys_kind_check CHECK (kind IN ('patient', 'account', 'practitioner'));
