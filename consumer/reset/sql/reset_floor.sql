-- On the primary, AFTER the snapshot was taken: a version that is at least that of every change
-- visible in it. A sequence knows no transactions, so reading it earlier could give one that is too
-- small. Changes that are not visible may have a smaller version than this; they name their
-- transaction, and the snapshot decides about them. Likewise a place in the WAL behind the commits of all that
-- is visible in it.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS floor,
	(pg_current_wal_insert_lsn() - '0/0')::bigint AS lsn
FROM pgfanout.version_seq
