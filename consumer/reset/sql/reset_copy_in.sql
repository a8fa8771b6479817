-- On a replica, in the transaction that made products_reset, as FREEZE asks. A reader with a
-- snapshot from before the swap that comes to the new table after it then sees its rows, where
-- otherwise it would see an empty table.
COPY products_reset (id, name, price, stock, created_at, updated_at, version) FROM STDIN (FORMAT binary, FREEZE)
