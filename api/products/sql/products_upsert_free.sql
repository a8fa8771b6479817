-- Creates products, or replaces those that exist, as products_upsert.sql does, but never waits for
-- a row that somebody else has locked: such a product is left as it is, and its row of the result
-- has nothing but the id. (A product that somebody else is just creating cannot be seen: that is
-- waited for, until lock_timeout.) A new product costs one look at the index; only those that are
-- there are locked.
WITH w AS (
	SELECT w.id, w.name, w.price, w.stock, there.id IS NOT NULL AND free.id IS NULL AS locked
	FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[]) AS w (id, name, price, stock)
	LEFT JOIN LATERAL (SELECT p.id FROM products p WHERE p.id = w.id OFFSET 0) AS there ON true
	LEFT JOIN LATERAL (
		SELECT p.id FROM products p
		WHERE there.id IS NOT NULL AND p.id = there.id
		FOR NO KEY UPDATE SKIP LOCKED) AS free
		ON true
), written AS (
	INSERT INTO products AS p (id, name, price, stock)
	SELECT w.id, w.name, w.price::numeric, w.stock FROM w WHERE NOT w.locked
	ON CONFLICT (id) DO UPDATE
		SET name = excluded.name, price = excluded.price, stock = excluded.stock,
			updated_at = now()
	RETURNING p.id::uuid, p.name::text, p.price::text, p.stock::integer,
		p.created_at::timestamptz, p.updated_at::timestamptz, (p.xmax = 0),
		coalesce(pg_sequence_last_value('pgfanout.version_seq'::regclass), 0) + 1
)
SELECT * FROM written
UNION ALL
SELECT w.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM w WHERE w.locked
