-- On the primary, BEFORE the snapshot is taken: whoever reads a smaller place there has read it before, so the
-- snapshot has all that he saw committed. It is on the disk before any replica is told of it: reset_settle.sql.
SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint AS lsn
