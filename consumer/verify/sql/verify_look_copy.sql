-- On a replica: the products $1 as they are, as in verify_look.sql, and what tells one state of the
-- replica from another: which transaction wrote the row, its version, the tombstone's, that of a
-- change given up, and the last reset.
SELECT k.place, p.xmin AS written,
	coalesce(p.version, 0) AS version, coalesce(t.version, 0) AS buried,
	coalesce(d.version, 0) AS dead,
	(SELECT coalesce((extract(epoch FROM max(r.reset_at)) * 1000000)::bigint, 0)
	FROM pgfanout.streams r WHERE r.stream = 1) AS reset_at,
	substr(sha256(convert_to(p.name::text, 'UTF8')), 1, 16)
		|| substr(sha256(convert_to(p.price::numeric::text, 'UTF8')), 1, 16)
		|| substr(sha256(convert_to(p.stock::integer::text, 'UTF8')), 1, 16)
		|| substr(sha256(convert_to(p.created_at::timestamptz::text, 'UTF8')), 1, 16)
		|| substr(sha256(convert_to(p.updated_at::timestamptz::text, 'UTF8')), 1, 16)
			AS columns
FROM unnest($1::uuid[], $2::integer[]) AS k (id, place)
LEFT JOIN products p ON p.id = k.id
LEFT JOIN pgfanout.tombstones_1 t ON t.id = k.id
LEFT JOIN pgfanout.dead_letters d ON d."table" = 1 AND d.key = ARRAY[k.id::text]
