-- On the primary, as the first statement of the snapshot's transaction: what the replicas remember
-- of the snapshot. The time was taken before it: all that was committed by then is in it. So is all
-- that was published and confirmed, as far as the relay has noted it in the snapshot (published). The
-- estimate for the tables $1 is only for the progress shown: from the statistics, 0 where there are none.
WITH parts (oid) AS (
	SELECT unnest($1::oid[])
	UNION ALL
	SELECT p.part FROM unnest($1::oid[]) AS o CROSS JOIN LATERAL pgfanout.partitions(o) p
)
SELECT pg_current_snapshot()::text AS snapshot,
	pgfanout.source() AS source,
	(SELECT sum(CASE
		WHEN c.reltuples > 0 AND c.relpages > 0
		THEN (c.reltuples / c.relpages
			* (pg_relation_size(c.oid)
				/ current_setting('block_size')::integer))::bigint
		ELSE 0
	END)::bigint FROM pg_class c WHERE c.oid IN (SELECT oid FROM parts)) AS estimated_rows,
	(SELECT sum(pg_table_size(oid)) FROM parts)::bigint AS bytes,
	statement_timestamp()::text AS taken_at,
	(SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM pgfanout.relay r)::text AS published
