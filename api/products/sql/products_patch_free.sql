-- Changes products as products_patch.sql does, but never waits for a row that somebody else has
-- locked: such a product is left as it is, and its row of the result has nothing but the id.
WITH w AS (
	SELECT w.id, w.name, w.price, w.stock,
		free.id IS NULL AND (SELECT p.id FROM products p WHERE p.id = w.id) IS NOT NULL
			AS locked
	FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[]) AS w (id, name, price, stock)
	LEFT JOIN LATERAL (
		SELECT p.id FROM products p WHERE p.id = w.id FOR NO KEY UPDATE SKIP LOCKED) AS free
		ON true
), written AS (
	UPDATE products AS p
	SET name = coalesce(w.name, p.name), price = coalesce(w.price::numeric, p.price),
		stock = coalesce(w.stock, p.stock), updated_at = now()
	FROM w
	WHERE p.id = w.id AND NOT w.locked
	RETURNING p.id::uuid, p.name::text, p.price::text, p.stock::integer,
		p.created_at::timestamptz, p.updated_at::timestamptz,
		coalesce(pg_sequence_last_value('pgfanout.version_seq'::regclass), 0) + 1
)
SELECT * FROM written
UNION ALL
SELECT w.id, NULL, NULL, NULL, NULL, NULL, NULL FROM w WHERE w.locked
