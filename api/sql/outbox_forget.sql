-- Forgets changes that the broker has confirmed, by their keys.
DELETE FROM products_outbox o
USING unnest($1::xid8[], $2::bigint[]) AS k (xid, version)
WHERE o.xid = k.xid AND o.version = k.version
