-- How many changes are recorded and not yet confirmed by the broker. Counted while the table is small;
-- of a large one the server's own estimate, some seconds old: reading it all would cost too much.
SELECT CASE WHEN pg_relation_size(to_regclass('products_outbox')) <= 4194304
	THEN (SELECT count(*) FROM products_outbox WHERE heartbeat IS NULL)
	ELSE greatest(pg_stat_get_live_tuples(to_regclass('products_outbox')), 0) END
