-- Whether a server is a standby, of which primary, and how far it has replayed its WAL; and what its receiver says of
-- itself, as JSON, as far as our role may see it. $1: if it takes writes it is the primary, and its epoch begins. The receiver's name is what the primary knows it by.
SELECT pg_is_in_recovery(), CASE WHEN $1::boolean THEN pgfanout.current_source() ELSE pgfanout.source() END, (coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0')::bigint,
	(SELECT jsonb_build_object('status', r.status, 'slot', r.slot_name, 'name', coalesce(
			substring(r.conninfo FROM '(?:^| )application_name=(\S+)'),
			nullif(current_setting('cluster_name'), ''), 'walreceiver'),
		'timeline', r.received_tli,
		'receivedLsn', r.flushed_lsn, 'replayedLsn', pg_last_wal_replay_lsn(),
		'paused', CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END)
	FROM (SELECT) AS one LEFT JOIN pg_stat_wal_receiver r ON true)
