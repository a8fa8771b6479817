-- On a replica: what keeps registered tables, those of the numbers $1, from being replaced or brought up to date:
-- the table's number and a phrase each. No row: nothing is in the way. What hangs on one is not:
-- pgfanout.hanging().
WITH t AS (
	SELECT r.id, c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS called
	FROM pgfanout.tables r
	JOIN pg_class c ON c.oid = r.relation
	JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE r.id = ANY ($1::integer[])
), wanted AS (
	SELECT r.id, w.name AS attname, w.type, w.form FROM pgfanout.tables r JOIN pgfanout.shapes h ON h.id = r.shape
	CROSS JOIN jsonb_to_recordset(h.description -> 'columns') AS w (name name, type text, form text)
	WHERE r.id = ANY ($1::integer[])
	UNION ALL
	SELECT r.id, (h.description ->> 'version')::name, 'bigint', 'int8' FROM pgfanout.tables r
	JOIN pgfanout.shapes h ON h.id = r.shape WHERE r.id = ANY ($1::integer[])
)
SELECT t.id, format('%s is not an ordinary table', called) FROM t WHERE relkind <> 'r'
UNION ALL
SELECT t.id, format('%s inherits from a table, or is inherited from', called)
FROM t WHERE EXISTS (SELECT FROM pg_inherits i WHERE t.oid IN (i.inhrelid, i.inhparent))
UNION ALL
SELECT t.id, CASE WHEN a.attname IS NULL THEN format('%s has no column %I', called, w.attname)
	ELSE format('column %I of %s is of type %s, not %s', w.attname, called,
		format_type(a.atttypid, a.atttypmod), w.type) END
FROM t JOIN wanted w ON w.id = t.id
LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = w.attname AND NOT a.attisdropped
WHERE a.attname IS NULL OR ((a.atttypid IS DISTINCT FROM to_regtype(w.type)
		OR substring(format_type(a.atttypid, a.atttypmod) from '\(.*\)')
			IS DISTINCT FROM substring(w.type from '\(.*\)'))
	-- a string's limit only refuses, it does not change what is sent
	AND NOT (w.form = 'string' AND format_type(a.atttypid, -1) IN ('text', 'character varying')))
UNION ALL
SELECT t.id, format('foreign key %I of %s, which belongs to %I', k.conname, k.conrelid::regclass,
	pg_get_userbyid(c.relowner))
FROM t JOIN pg_constraint k ON k.contype = 'f' AND t.oid IN (k.conrelid, k.confrelid)
JOIN pg_class c ON c.oid = k.conrelid
WHERE NOT pg_has_role(current_user, c.relowner, 'USAGE')
UNION ALL
SELECT t.id, format('foreign key %I to %s: GRANT REFERENCES to %I', k.conname, k.confrelid::regclass, current_user)
FROM t JOIN pg_constraint k ON k.contype = 'f' AND t.oid IN (k.conrelid, k.confrelid)
WHERE NOT has_table_privilege(k.confrelid, 'REFERENCES')
UNION ALL
SELECT t.id, format('rule %I on it', r.rulename)
FROM t JOIN pg_rewrite r ON r.ev_class = t.oid
UNION ALL
SELECT t.id, format('row level security on it hides rows from %I', current_user)
FROM t WHERE row_security_active(t.oid)
UNION ALL
SELECT t.id, format('a table %I.%I (not a reset''s: it leaves none behind)', t.nspname, o.relname)
FROM t JOIN pg_class o ON o.relnamespace = t.relnamespace AND o.relname = 'pgfanout_reset_' || t.id
UNION ALL
SELECT t.id, format('%s belongs to %I, whose rights %I lacks: connect as that user', called,
	pg_get_userbyid(relowner), current_user)
FROM t WHERE NOT pg_has_role(current_user, relowner, 'USAGE')
UNION ALL
SELECT t.id, format('%I may not create tables in schema %I: GRANT CREATE', current_user, nspname)
FROM t WHERE NOT has_schema_privilege(relnamespace, 'CREATE')
UNION ALL
SELECT t.id, format('%I may not empty pgfanout.tombstones_%s: GRANT TRUNCATE', current_user, t.id)
FROM t WHERE NOT has_table_privilege(to_regclass('pgfanout.tombstones_' || t.id), 'TRUNCATE')
UNION ALL
SELECT t.id, format('%I may not write %s: GRANT SELECT, INSERT, UPDATE', current_user, o.name)
FROM t CROSS JOIN (VALUES ('pgfanout.streams'), ('pgfanout.tables')) AS o (name)
WHERE NOT has_table_privilege(o.name, 'SELECT') OR NOT has_table_privilege(o.name, 'INSERT')
	OR NOT has_table_privilege(o.name, 'UPDATE')
UNION ALL
SELECT t.id, format('%I may not write %s: GRANT SELECT, INSERT, UPDATE, DELETE', current_user, o.name)
FROM t CROSS JOIN (VALUES ('pgfanout.received'), ('pgfanout.heartbeats'), ('pgfanout.positions'),
		('pgfanout.places'),
		('pgfanout.dead_letters'))
	AS o (name)
CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS p (privilege)
WHERE NOT has_table_privilege(o.name, p.privilege)
GROUP BY t.id, o.name
