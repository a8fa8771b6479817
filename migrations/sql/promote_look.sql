-- What a server is, with pgfanout's tables of a primary: in recovery or not, the timeline that it is on, and how far it
-- has the WAL. In recovery nothing says the timeline for sure: the newest one that is known to it.
SELECT w.recovery, pgfanout.source(0), CASE WHEN w.recovery
		THEN greatest(e.last_value & 2147483647, c.timeline_id, v.min_recovery_end_timeline, r.received_tli)
		ELSE pgfanout.timeline() END,
	e.last_value & 2147483647, e.last_value >> 32, pgfanout.is_fenced(),
	greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0', pg_last_wal_replay_lsn() - '0/0',
	r.status = 'streaming', r.received_tli,
	(SELECT s.reset_val = 'on' FROM pg_settings s WHERE s.name = 'default_transaction_read_only')
FROM (SELECT pg_is_in_recovery() AS recovery OFFSET 0) AS w
CROSS JOIN pgfanout.epoch e CROSS JOIN pg_control_checkpoint() AS c CROSS JOIN pg_control_recovery() AS v
LEFT JOIN pg_stat_wal_receiver r ON true
