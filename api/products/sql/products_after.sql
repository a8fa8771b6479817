-- The products after an id, in the order of their ids.
SELECT p.id, p.name, p.price::text, p.stock, p.created_at, p.updated_at
FROM products p
WHERE p.id > $1::uuid
ORDER BY p.id
LIMIT $2::integer
