-- Changes the fields that are given (not null) of products that exist. Waits for rows that somebody
-- else has locked.
UPDATE products AS p
SET name = coalesce(w.name, p.name), price = coalesce(w.price::numeric, p.price),
	stock = coalesce(w.stock, p.stock), updated_at = now()
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[]) AS w (id, name, price, stock)
WHERE p.id = w.id
RETURNING p.id::uuid, p.name::text, p.price::text, p.stock::integer,
	p.created_at::timestamptz, p.updated_at::timestamptz,
	coalesce(pg_sequence_last_value('pgfanout.version_seq'::regclass), 0) + 1
