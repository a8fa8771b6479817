-- A chunk of one transaction that was put aside: its records are visible, so all of them are there.
--   $1 the transaction
--   $2 the version of its last record that was claimed
--   $3 how many
SELECT NULL::text AS snapshot, o.xid, o.version, o.id, o.name, o.price::text AS price, o.stock,
	o.created_at, o.updated_at, o.heartbeat
FROM products_outbox o
WHERE o.xid = $1::xid8 AND o.version > $2::bigint
ORDER BY o.xid, o.version LIMIT $3::bigint
