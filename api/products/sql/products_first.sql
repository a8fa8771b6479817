-- The first products in the order of their ids.
SELECT p.id, p.name, p.price::text, p.stock, p.created_at, p.updated_at
FROM products p
ORDER BY p.id
LIMIT $1::integer
