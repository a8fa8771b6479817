-- On a replica: the chunk of verify_chunk.sql, from the id $1 to the id $2, at most $3 products of
-- it: one more than the primary has is enough to differ. newest: the newest version of a product or
-- tombstone in it. dead: whether a change of a product in it was given up.
SELECT count(*)::integer AS products,
	sha256(convert_to(coalesce(string_agg(line, '' ORDER BY id), ''), 'UTF8')) AS digest,
	greatest(coalesce(max(version), 0),
		(SELECT coalesce(max(t.version), 0) FROM pgfanout.tombstones_1 t
			WHERE t.id >= $1::uuid AND t.id <= $2::uuid)) AS newest,
	EXISTS (SELECT FROM pgfanout.dead_letters d WHERE d."table" = 1
		AND d.key[1]::uuid >= $1::uuid AND d.key[1]::uuid <= $2::uuid) AS dead
FROM (
	SELECT id, version, id || ' ' || length(name) || ' ' || name || ' ' || price::numeric || ' '
		|| stock::integer || ' '
		|| created_at::timestamptz || ' ' || updated_at::timestamptz AS line
	FROM products
	WHERE id >= $1::uuid AND id <= $2::uuid
	ORDER BY id LIMIT $3::integer
) chunk
