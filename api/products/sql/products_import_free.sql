-- Does what products_import.sql does, but never waits for a row that somebody else has locked: such
-- a product is left as it is, and its id is in the result. A new product, as most are, costs one
-- look at the index; only those that are there are locked.
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
	RETURNING (p.xmax = 0) AS created
)
SELECT NULL::uuid AS locked, count(*) FILTER (WHERE created)::integer AS created,
	count(*) FILTER (WHERE NOT created)::integer AS replaced
FROM written
UNION ALL
SELECT w.id, 0, 0 FROM w WHERE w.locked
