-- On the primary, in a transaction of its own with the next two statements: records once more that
-- the product $1 does not exist.
--
-- Nobody can lock a row that does not exist, but the unique index keeps its place: this row, which
-- nobody else ever sees, waits for whoever has inserted the id and not yet committed, and makes
-- later ones wait. If it cannot be inserted, the product exists now: no row is returned, nothing
-- was done. If it is, the id is held until the commit, so the number that the delete takes
-- (repair_delete_record.sql; capture takes it) comes after those of all earlier writers and before
-- those of all later ones.
INSERT INTO products (id, name, price, stock) VALUES ($1::uuid, 'held by reset-replicas --repair', 0, 0)
ON CONFLICT (id) DO NOTHING
RETURNING id
