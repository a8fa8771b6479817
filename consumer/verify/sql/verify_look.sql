-- On the primary: the products $1 as they are, a digest of 16 bytes a column; columns is NULL where
-- there is no such product. $2 is returned as it came: the caller's place of each product. now and
-- given are read after the statement's snapshot was taken: whatever it shows was committed before
-- now, and a version above given was taken after it.
SELECT k.place,
	(SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now,
	(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM pgfanout.version_seq) AS given,
	substr(sha256(convert_to(p.name::text, 'UTF8')), 1, 16)
		|| substr(sha256(convert_to(p.price::numeric::text, 'UTF8')), 1, 16)
		|| substr(sha256(convert_to(p.stock::integer::text, 'UTF8')), 1, 16)
		|| substr(sha256(convert_to(p.created_at::timestamptz::text, 'UTF8')), 1, 16)
		|| substr(sha256(convert_to(p.updated_at::timestamptz::text, 'UTF8')), 1, 16)
			AS columns
FROM unnest($1::uuid[], $2::integer[]) AS k (id, place)
LEFT JOIN products p ON p.id = k.id
