-- Several products by id in one round trip. The number says which of the ids a row belongs to. {version}: product_reads.c.
SELECT w.number, p.id::uuid, p.name::text, p.price::text, p.stock::integer,
	p.created_at::timestamptz, p.updated_at::timestamptz{version}
FROM unnest($1::uuid[]) WITH ORDINALITY AS w (id, number)
JOIN products p ON p.id = w.id
