-- Does what products_import.sql does, but never waits for a row that somebody else has locked: such
-- a product is left as it is, and its id is in the result. New products, which are the most, cost no
-- look for a lock.
WITH w AS (
	SELECT w.id, w.name, w.price::numeric AS price, w.stock
	FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[]) AS w (id, name, price, stock)
), created AS (
	INSERT INTO products (id, name, price, stock)
	SELECT w.id, w.name, w.price, w.stock FROM w
	ON CONFLICT (id) DO NOTHING
	RETURNING id
), present AS (
	SELECT w.id, w.name, w.price, w.stock, free.id IS NULL AS locked
	FROM w
	LEFT JOIN LATERAL (
		SELECT p.id FROM products p WHERE p.id = w.id FOR NO KEY UPDATE SKIP LOCKED) AS free
		ON true
	WHERE w.id NOT IN (SELECT id FROM created)
), replaced AS (
	INSERT INTO products AS p (id, name, price, stock)
	SELECT t.id, t.name, t.price, t.stock FROM present t WHERE NOT t.locked
	ON CONFLICT (id) DO UPDATE
		SET name = excluded.name, price = excluded.price, stock = excluded.stock,
			updated_at = now()
	RETURNING id
)
SELECT NULL::uuid AS locked, (SELECT count(*) FROM created)::integer AS created,
	(SELECT count(*) FROM replaced)::integer AS replaced
UNION ALL
SELECT t.id, 0, 0 FROM present t WHERE t.locked
