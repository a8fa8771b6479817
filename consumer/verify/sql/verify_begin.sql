-- On the primary, of the table with the number $1: about how many rows it has (0: nobody has counted
-- them), how many bytes one takes, and the newest version given out so far.
SELECT greatest(c.reltuples, 0)::bigint AS total,
	(pg_table_size(c.oid) / greatest(CASE WHEN c.reltuples > 0 THEN c.reltuples
		ELSE pg_relation_size(c.oid) / 100 END, 1))::bigint AS width,
	(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM pgfanout.version_seq) AS given
FROM pg_class c WHERE c.oid = $1::oid
