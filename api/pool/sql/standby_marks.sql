-- How far a standby has replayed its primary's WAL; the primary itself, which does not, has all there is.
SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint
