-- Records from the future came with a dump of another server, whose transaction ids mean nothing
-- here. The rows that were restored with them contain these changes, and so does every snapshot of
-- this server: transaction 3 is visible in all of them. Heartbeats among them tell of another server's
-- clock. $1: the stream.
WITH strange AS (
	DELETE FROM pgfanout.outbox
	WHERE stream = $1::smallint AND xid >= pg_snapshot_xmax(pg_current_snapshot())
		AND heartbeat IS NOT NULL
)
UPDATE pgfanout.outbox SET xid = '3'
WHERE stream = $1::smallint AND xid >= pg_snapshot_xmax(pg_current_snapshot()) AND heartbeat IS NULL
