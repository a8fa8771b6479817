-- What the primary knows of its standbys, as JSON, as far as our role may see it. What has all there is has no lag,
-- of which the server says NULL after a while.
SELECT coalesce(jsonb_agg(jsonb_build_object('name', r.application_name, 'state', r.state, 'syncState', r.sync_state,
	'slot', s.slot_name,
	'writeLagMs', round(extract(epoch FROM coalesce(r.write_lag, r.none)) * 1000, 3),
	'flushLagMs', round(extract(epoch FROM coalesce(r.flush_lag, r.none)) * 1000, 3),
	'replayLagMs', round(extract(epoch FROM coalesce(r.replay_lag, r.none)) * 1000, 3))), '[]')
FROM (
	SELECT *, CASE WHEN replay_lsn = sent_lsn THEN interval '0' END AS none FROM pg_stat_replication
) AS r
LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
