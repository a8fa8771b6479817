-- One chunk of a sweep of the stream $6: the recorded changes that became visible since the snapshot of the last
-- sweep, $1, in the order of the primary key.
--   $2 how many
--   $3 the snapshot of this sweep; NULL: the sweep begins, with the snapshot of this statement
--   $4, $5 the key of the last record of the chunk before
--   $7 how many bytes a body may have: of a larger one comes the size in its place
-- Each bound is one that an index scan can start at: two lower bounds side by side would start it
-- at the lower one. The first row holds what is known of this sweep and nothing else, so that it
-- comes also when there is no change: its snapshot; in version, the newest version that was given out, at least
-- that of each change found; and a place in the WAL behind the commits of all that the snapshot shows: it is
-- read when the snapshot has been taken; how far the WAL is on the disk; and how far it is on those of synchronous
-- standbys, NULL: nobody waits for them.
--
-- A record that is visible in this sweep's snapshot and was not in the last one's belongs to a
-- transaction that was running then (xip) or began since (xid >= xmax). Records below are never
-- looked at, so dead ones that vacuum may not remove yet cost nothing; nor are those of a
-- transaction that is still running, however many it has written. What commits while the sweep goes
-- on is left to the next sweep, which would find it anyway.
WITH sweep AS MATERIALIZED (
	SELECT coalesce($3::pg_snapshot, pg_current_snapshot()) AS snapshot,
		(pg_current_wal_insert_lsn() - '0/0')::bigint AS lsn
)
SELECT snapshot::text AS snapshot, NULL::xid8 AS xid, CASE WHEN v.is_called THEN v.last_value ELSE 0 END AS version,
	NULL::integer AS shape, NULL::"char" AS kind, NULL::bytea AS body, NULL::timestamptz AS heartbeat,
	NULL::integer AS size, sweep.lsn, (pg_current_wal_flush_lsn() - '0/0')::bigint AS flushed,
	CASE WHEN current_setting('synchronous_standby_names') <> '' THEN pgfanout.standbys_flushed() END AS standbys
FROM sweep, pgfanout.version_seq v
UNION ALL
SELECT NULL, o.xid, o.version, o.shape, o.kind, CASE WHEN octet_length(o.body) <= $7::bigint THEN o.body END,
	o.heartbeat, CASE WHEN octet_length(o.body) > $7::bigint THEN octet_length(o.body) END, NULL, NULL, NULL
FROM (
	SELECT * FROM (
		(SELECT o.*
		FROM pg_snapshot_xip($1::pg_snapshot) AS running (xid)
		CROSS JOIN LATERAL (
			SELECT * FROM pgfanout.outbox o
			WHERE o.stream = $6::smallint AND o.xid = running.xid
				AND o.version > CASE WHEN running.xid = $4::xid8 THEN $5::bigint ELSE 0 END
			ORDER BY o.stream, o.xid, o.version LIMIT $2::bigint
		) o
		WHERE running.xid >= $4::xid8
			AND pg_visible_in_snapshot(running.xid, (SELECT snapshot FROM sweep))
		ORDER BY o.xid, o.version LIMIT $2::bigint)
		UNION ALL
		(SELECT o.* FROM pgfanout.outbox o
		WHERE o.stream = $6::smallint AND (o.xid, o.version) > (greatest($4::xid8, pg_snapshot_xmax($1::pg_snapshot)),
				CASE WHEN $4::xid8 < pg_snapshot_xmax($1::pg_snapshot) THEN 0 ELSE $5::bigint END)
			AND o.xid < (SELECT pg_snapshot_xmax(snapshot) FROM sweep)
			AND pg_visible_in_snapshot(o.xid, (SELECT snapshot FROM sweep))
		ORDER BY o.stream, o.xid, o.version LIMIT $2::bigint)
	) both_parts
	ORDER BY xid, version LIMIT $2::bigint
) o
