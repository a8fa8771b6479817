-- On a replica: why it gets no reads until it is reset, whatever is in its table. No row: it does
-- not need a reset.
SELECT coalesce(reason, 'it is marked so') AS reason FROM products_replication WHERE needs_reset
