-- A chunk of one transaction that was put aside: its records are visible, so all of them are there.
--   $1 the transaction
--   $2 the version of its last record that was claimed
--   $3 how many
--   $4 the stream
--   $5 how many bytes a body may have, as outbox_claim.sql's $7
SELECT NULL::text AS snapshot, o.xid, o.version, o.shape, o.kind,
	CASE WHEN octet_length(o.body) <= $5::bigint THEN o.body END AS body, o.heartbeat,
	CASE WHEN octet_length(o.body) > $5::bigint THEN octet_length(o.body) END AS size, NULL::bigint AS lsn, NULL::bigint AS flushed,
	NULL::bigint AS standbys
FROM pgfanout.outbox o
WHERE o.stream = $4::smallint AND o.xid = $1::xid8 AND o.version > $2::bigint
ORDER BY o.stream, o.xid, o.version LIMIT $3::bigint
