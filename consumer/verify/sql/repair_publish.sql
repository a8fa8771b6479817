-- On the primary, a transaction of its own: records the product $1 once more, as it is, under a new
-- version. No row: there is no such product.
--
-- Exact for the same reason as capture (migrations/primary/0002_capture.up.sql, rule 1): the lock
-- waits for a writer of the row that has not committed, then the row is read as that writer left
-- it, and then the version is taken. The next writer has to wait for this commit, so it takes a
-- later version. MATERIALIZED: else the version could be taken before the wait. One product a
-- transaction: it holds no other lock while it waits, so it cannot be part of a deadlock.
WITH held AS MATERIALIZED (
	SELECT id, name, price, stock, created_at, updated_at FROM products
		WHERE id = $1::uuid FOR NO KEY UPDATE
)
INSERT INTO products_outbox (version, id, name, price, stock, created_at, updated_at)
SELECT nextval('products_version_seq'), id, name, price, stock, created_at, updated_at FROM held
RETURNING version
