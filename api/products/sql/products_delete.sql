-- Deletes products and tells which of them existed. Waits for rows that somebody else has locked.
DELETE FROM products AS p
USING unnest($1::uuid[]) AS w (id)
WHERE p.id = w.id
RETURNING p.id::uuid, true,
	coalesce(pg_sequence_last_value('pgfanout.version_seq'::regclass), 0) + 1
