-- Changes that are given up: their products are wrong on this replica from now on, until that
-- change or a newer one is applied. A change is not recorded if it is in the last reset's snapshot,
-- if the row or its tombstone has its version or a newer one, or if the primary cannot have given out
-- its version.
INSERT INTO products_dead_letters AS d (id, version, queue, error)
SELECT DISTINCT ON (m.id) m.id, m.version, m.queue, m.error
FROM unnest($1::uuid[], $2::bigint[], $3::xid8[], $4::text[], $5::text[], $6::text[])
	AS m (id, version, xid, source, queue, error)
CROSS JOIN products_replication r
WHERE coalesce((SELECT p.version FROM products p WHERE p.id = m.id), -1) < m.version
	AND coalesce((SELECT t.version FROM products_tombstones t WHERE t.id = m.id), -1)
		< m.version
	AND NOT coalesce(products_impossible(m.version, r.given), false)
	AND NOT products_stale(m.xid, m.version, m.source, r.source, r.snapshot, r.floor)
ORDER BY m.id, m.version DESC
ON CONFLICT (id) DO UPDATE SET version = excluded.version, queue = excluded.queue,
		error = excluded.error, died_at = now()
	WHERE d.version <= excluded.version
