-- On the primary, as the first statement of the snapshot's transaction: what the replicas remember
-- of the snapshot. The time was taken before it: all that was committed by then is in it. So is all
-- that was published and confirmed, as far as the relay has noted it in the snapshot (published). The
-- estimate is only for the progress shown: from the statistics, or, where there are none, a count
-- that stops early.
SELECT pg_current_snapshot()::text AS snapshot,
	products_source() AS source,
	(SELECT CASE
		WHEN c.reltuples > 0 AND c.relpages > 0
		THEN (c.reltuples / c.relpages
			* (pg_relation_size(c.oid)
				/ current_setting('block_size')::integer))::bigint
		ELSE (SELECT count(*) FROM (SELECT FROM products LIMIT 1000000) AS first_rows)
	END FROM pg_class c WHERE c.oid = to_regclass('products')) AS estimated_rows,
	pg_table_size('products') AS bytes,
	statement_timestamp()::text AS taken_at,
	(SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM products_relay r)::text AS published
