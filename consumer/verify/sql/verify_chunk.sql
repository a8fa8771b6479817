-- On the primary: one chunk of a comparison, from the id $1 on: how many products (at most $2), the
-- id of the last one, a digest of all, and the newest version given out so far.
--
-- A product's line is the same on every server that has the same product: the length in front of
-- the name keeps two different products from making one line, the session's settings fix how times
-- are written, and the digest is one of UTF-8 whatever encoding a server keeps.
SELECT count(*)::integer AS products,
	(array_agg(id ORDER BY id DESC))[1] AS last_id,
	sha256(convert_to(coalesce(string_agg(line, '' ORDER BY id), ''), 'UTF8')) AS digest,
	(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM pgfanout.version_seq) AS given
FROM (
	SELECT id, id || ' ' || length(name) || ' ' || name || ' ' || price::numeric || ' '
		|| stock::integer || ' '
		|| created_at::timestamptz || ' ' || updated_at::timestamptz AS line
	FROM products
	WHERE id >= $1::uuid
	ORDER BY id LIMIT $2::integer
) chunk
