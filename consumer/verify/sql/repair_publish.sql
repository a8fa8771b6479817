-- On the primary, a transaction of its own: records the product $1 once more, as it is, under a new
-- version. No row: there is no such product.
--
-- Exact for the reason that capture is (migrations/primary/0002_capture.up.sql, rule 1): the lock
-- waits for whoever has written the row and not yet committed, then what is read is what he left,
-- and the number is taken after that. Whoever writes the row next has to wait for this commit, so
-- his number is a later one. MATERIALIZED: else the number could be taken before the wait. One
-- product a transaction: it holds no other lock while it waits, so it is never part of a deadlock.
WITH held AS MATERIALIZED (
	SELECT id, name, price, stock, created_at, updated_at FROM products WHERE id = $1::uuid FOR NO KEY UPDATE
)
INSERT INTO products_outbox (version, id, name, price, stock, created_at, updated_at)
SELECT nextval('products_version_seq'), id, name, price, stock, created_at, updated_at FROM held
RETURNING version
