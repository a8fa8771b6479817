-- The products after an id, in the order of their ids.
SELECT p.id::uuid, p.name::text, p.price::text, p.stock::integer,
	p.created_at::timestamptz, p.updated_at::timestamptz
FROM products p
WHERE p.id > $1::uuid
ORDER BY p.id
LIMIT $2::integer
