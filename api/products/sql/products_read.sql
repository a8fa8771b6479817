-- Several products by id in one round trip. The number says which of the ids a row belongs to; the first one is of
-- none, and has what the database tells of itself in the name's column.
SELECT 0::bigint, NULL::uuid, {place}, NULL::text, NULL::integer, NULL::timestamptz, NULL::timestamptz, NULL::bigint
UNION ALL
SELECT w.number, p.id::uuid, p.name::text, p.price::text, p.stock::integer,
	p.created_at::timestamptz, p.updated_at::timestamptz, {version}
FROM unnest($1::uuid[]) WITH ORDINALITY AS w (id, number)
JOIN products p ON p.id = w.id
