-- On the primary, before the snapshot is taken: whether all that was recorded of the stream $2 at the moment $1 (a
-- snapshot) has been published and noted in pgfanout.relay. Nobody has to be waited for if no relay
-- leads (advisory lock 1885824609/$3).
SELECT NOT EXISTS (SELECT FROM pgfanout.outbox
		WHERE stream = $2::smallint AND heartbeat IS NULL AND pg_visible_in_snapshot(xid, $1::pg_snapshot))
	OR NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND classid = 1885824609 AND objid = $3::integer AND objsubid = 2)
