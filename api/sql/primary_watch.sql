-- Whether the primary takes writes: a standby, or a server set to read-only, does not.
SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean
