-- On the primary, in a transaction of its own with the next two statements: records once more that
-- the product $1 does not exist.
--
-- A row that does not exist cannot be locked, but its place in the unique index can: this row,
-- which nobody else sees, waits for an uncommitted insert of the same id, and makes later ones
-- wait. If it cannot be inserted, the product exists now: no row is returned, nothing was done. If
-- it can, the id is held until the commit. So the version that capture takes for the delete
-- (repair_delete_record.sql) is later than those of all earlier writers and earlier than those of
-- all later ones.
INSERT INTO products (id, name, price, stock)
	VALUES ($1::uuid, 'held by reset-replicas --repair', 0, 0)
ON CONFLICT (id) DO NOTHING
RETURNING id
