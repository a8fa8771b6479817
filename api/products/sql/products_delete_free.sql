-- Deletes products as products_delete.sql does, but never waits for a row that somebody else has
-- locked: such a product stays, and its row of the result has nothing but the id.
WITH w AS (
	SELECT w.id,
		free.id IS NULL AND (SELECT p.id FROM products p WHERE p.id = w.id) IS NOT NULL
			AS locked
	FROM unnest($1::uuid[]) AS w (id)
	LEFT JOIN LATERAL (
		SELECT p.id FROM products p WHERE p.id = w.id FOR UPDATE SKIP LOCKED) AS free
		ON true
), deleted AS (
	DELETE FROM products AS p
	USING w
	WHERE p.id = w.id AND NOT w.locked
	RETURNING p.id::uuid, true,
		coalesce(pg_sequence_last_value('pgfanout.version_seq'::regclass), 0) + 1
)
SELECT * FROM deleted
UNION ALL
SELECT w.id, NULL, NULL FROM w WHERE w.locked
