-- On a replica, in the transaction that made products_reset, as FREEZE requires. With FREEZE a
-- reader whose snapshot is from before the swap sees the rows of the new table; without it the
-- reader would see an empty one.
COPY products_reset (id, name, price, stock, created_at, updated_at, version)
	FROM STDIN (FORMAT binary, FREEZE)
