-- On the primary: the registered tables that are asked for: all, or those of the stream $1, or those with
-- the names or numbers $2. The replica that must not have one is not among its replicas.
SELECT r.id, r.shape, s.description, format('%I.%I', n.nspname, c.relname) AS relation, r.filter,
	r.stream, t.name, c.oid,
	pgfanout.capture_fault(r.id, CASE r.id WHEN 1 THEN to_regclass('products') ELSE r.relation END),
	(r.stream <> 1 AND r.reason IS NULL AND pgfanout.describe(r) IS DISTINCT FROM pgfanout.described(s.id))::int
FROM pgfanout.registered r
JOIN pgfanout.shapes s ON s.id = r.shape
JOIN pgfanout.streams t ON t.id = r.stream
JOIN pg_class c ON c.oid = r.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE ($1::smallint IS NULL OR r.stream = $1::smallint)
	AND ($2::text[] IS NULL OR r.id::text = ANY ($2::text[])
		OR r.relation IN (SELECT to_regclass(w) FROM unnest($2::text[]) AS w WHERE w !~ '^[0-9]+$'))
ORDER BY r.id
