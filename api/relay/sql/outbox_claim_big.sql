-- A chunk of one transaction that was put aside: its records are visible, so all of them are there.
--   $1 the transaction
--   $2 the version of its last record that was claimed
--   $3 how many
--   $4 the stream
SELECT NULL::text AS snapshot, o.xid, o.version, o.shape, o.kind, o.body, o.heartbeat
FROM pgfanout.outbox o
WHERE o.stream = $4::smallint AND o.xid = $1::xid8 AND o.version > $2::bigint
ORDER BY o.stream, o.xid, o.version LIMIT $3::bigint
