-- How far the primary's WAL is: what was visible before is in front of this place.
SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint
