-- On the primary, of the table $1, with its partitions: about how many rows it has (0: nobody has counted
-- them), how many bytes one takes, and the newest version given out so far.
SELECT sum(greatest(c.reltuples, 0))::bigint AS total,
	(sum(pg_table_size(c.oid)) / greatest(sum(CASE WHEN c.reltuples > 0 THEN c.reltuples
		ELSE pg_relation_size(c.oid) / 100 END), 1))::bigint AS width,
	(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM pgfanout.version_seq) AS given
FROM pg_class c
WHERE (c.oid = $1::oid OR c.oid IN (SELECT relid FROM pg_partition_tree($1::oid))) AND c.relkind <> 'p'
HAVING EXISTS (SELECT FROM pg_class WHERE oid = $1::oid)
