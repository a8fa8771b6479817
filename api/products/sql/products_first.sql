-- The first products in the order of their ids. The casts, here and in the other statements, fix what
-- is read in binary: a table that was there before may keep its stock in 8 bytes.
SELECT p.id::uuid, p.name::text, p.price::text, p.stock::integer,
	p.created_at::timestamptz, p.updated_at::timestamptz
FROM products p
ORDER BY p.id
LIMIT $1::integer
