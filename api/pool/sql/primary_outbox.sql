-- How many changes are recorded and not yet confirmed by the broker. Counted while the table is small;
-- of a large one the server's own estimate, some seconds old: reading it all would cost too much.
SELECT CASE WHEN pg_relation_size(to_regclass('pgfanout.outbox')) <= 4194304
	THEN (SELECT count(*) FROM pgfanout.outbox WHERE heartbeat IS NULL)
	ELSE greatest(pg_stat_get_live_tuples(to_regclass('pgfanout.outbox')), 0) END
