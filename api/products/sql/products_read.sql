-- Several products by id in one round trip. The number says which of the ids a row belongs to.
SELECT w.number, p.id, p.name, p.price::text, p.stock, p.created_at, p.updated_at
FROM unnest($1::uuid[]) WITH ORDINALITY AS w (id, number)
JOIN products p ON p.id = w.id
