-- On the primary, after repair_delete_record.sql and before the commit: what capture recorded of
-- the row that only held the place. It must never be published: readers of a replica could see it.
DELETE FROM products_outbox WHERE xid = pg_current_xact_id() AND id = $1::uuid AND name IS NOT NULL
