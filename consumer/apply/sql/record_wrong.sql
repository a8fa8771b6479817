-- Changes that are refused: their rows are wrong on this replica from now on, until that change or a
-- newer one is applied. A change is not recorded if it is in the snapshot that its table was loaded from,
-- if the row or its tombstone has its version or a newer one, or the last TRUNCATE, or if the primary cannot have given
-- out its version; or if its key is none that the table can have. A key without values: a TRUNCATE, so that any row may be wrong.
INSERT INTO pgfanout.dead_letters AS d ("table", key, version, queue, error)
SELECT DISTINCT ON (m.id, m.key) m.id, m.key::text[], m.version, m.queue, m.error
FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::xid8[], $5::text[], $6::text[], $7::text[])
	AS m (id, key, version, xid, source, queue, error)
JOIN pgfanout.tables t ON t.id = m.id
JOIN pgfanout.streams s ON s.stream = t.stream
WHERE pgfanout.is_older(m.id, m.key::text[], m.version)
	AND m.version > t.truncated
	AND NOT coalesce(pgfanout.impossible(m.version, s.given), false)
	AND NOT pgfanout.stale(m.xid, m.version, m.source, t.source, t.snapshot, t.floor)
ORDER BY m.id, m.key, m.version DESC
ON CONFLICT ("table", key) DO UPDATE SET version = excluded.version, queue = excluded.queue,
		error = excluded.error, waiting = false, died_at = now()
	WHERE d.version <= excluded.version
