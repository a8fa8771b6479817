-- On the primary or a replica: a digest of each product from the id $1 to the id $2, at most $3 of
-- them.
SELECT id, sha256(convert_to(length(name) || ' ' || name || ' ' || price::numeric || ' '
	|| stock::integer || ' '
	|| created_at::timestamptz || ' ' || updated_at::timestamptz, 'UTF8')) AS digest
FROM products
WHERE id >= $1::uuid AND id <= $2::uuid
ORDER BY id LIMIT $3::integer
