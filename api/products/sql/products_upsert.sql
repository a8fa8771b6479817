-- Creates products, or replaces those that exist; created_at of a replaced one stays. Waits for rows
-- that somebody else has locked. A row that was not there before has no transaction that locked it
-- (xmax = 0).
INSERT INTO products AS p (id, name, price, stock)
SELECT w.id, w.name, w.price::numeric, w.stock
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[]) AS w (id, name, price, stock)
ON CONFLICT (id) DO UPDATE
	SET name = excluded.name, price = excluded.price, stock = excluded.stock, updated_at = now()
RETURNING p.id::uuid, p.name::text, p.price::text, p.stock::integer,
	p.created_at::timestamptz, p.updated_at::timestamptz, (p.xmax = 0),
	coalesce(pg_sequence_last_value('pgfanout.version_seq'::regclass), 0) + 1
