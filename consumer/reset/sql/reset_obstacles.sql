-- On a replica: what would be lost with the old table (the registered table $1), or would keep it from being
-- dropped, a phrase each. Most of it can be dropped before the reset and made again after it. No
-- row: nothing is in the way.
WITH t AS (
	SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS called,
		ARRAY[c.reltype, (SELECT typarray FROM pg_type WHERE oid = c.reltype)] AS types
	FROM pg_class c
	JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = (SELECT relation FROM pgfanout.tables WHERE id = $1::integer)
), wanted AS (
	SELECT w.name AS attname, w.type, w.form FROM pgfanout.tables r JOIN pgfanout.shapes h ON h.id = r.shape
	CROSS JOIN jsonb_to_recordset(h.description -> 'columns') AS w (name name, type text, form text)
	WHERE r.id = $1::integer
	UNION ALL
	SELECT (h.description ->> 'version')::name, 'bigint', 'int8' FROM pgfanout.tables r
	JOIN pgfanout.shapes h ON h.id = r.shape WHERE r.id = $1::integer
), dependents AS ( -- what refers to the table or its row type, apart from its own parts
	SELECT DISTINCT CASE WHEN d.classid = 'pg_rewrite'::regclass
		THEN (SELECT pg_describe_object('pg_class'::regclass, r.ev_class, 0)
			FROM pg_rewrite r WHERE r.oid = d.objid)
		ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END AS what
	FROM t
	JOIN pg_depend d ON (d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid)
		OR (d.refclassid = 'pg_type'::regclass AND d.refobjid = ANY (t.types))
	WHERE d.deptype = 'n'
		AND NOT (d.classid = 'pg_rewrite'::regclass
			AND EXISTS (SELECT FROM pg_rewrite r
				WHERE r.oid = d.objid AND r.ev_class = t.oid))
		AND NOT (d.classid = 'pg_constraint'::regclass)
		AND NOT (d.classid = 'pg_class'::regclass AND d.objid = t.oid)
		AND NOT (d.classid = 'pg_attrdef'::regclass
			AND EXISTS (SELECT FROM pg_attrdef a
				WHERE a.oid = d.objid AND a.adrelid = t.oid))
		AND NOT (d.classid = 'pg_trigger'::regclass)
		AND NOT (d.classid = 'pg_policy'::regclass)
)
SELECT format('%s is not an ordinary table', called) FROM t WHERE relkind <> 'r'
UNION ALL
SELECT format('%s inherits from a table, or is inherited from', called)
FROM t WHERE EXISTS (SELECT FROM pg_inherits i WHERE t.oid IN (i.inhrelid, i.inhparent))
UNION ALL
SELECT CASE WHEN a.attname IS NULL THEN format('%s has no column %I', called, w.attname)
	ELSE format('column %I of %s is of type %s, not %s', w.attname, called,
		format_type(a.atttypid, a.atttypmod), w.type) END
FROM t CROSS JOIN wanted w
LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = w.attname AND NOT a.attisdropped
WHERE a.attname IS NULL OR ((a.atttypid IS DISTINCT FROM to_regtype(w.type)
		OR substring(format_type(a.atttypid, a.atttypmod) from '\(.*\)')
			IS DISTINCT FROM substring(w.type from '\(.*\)'))
	-- a string's limit only refuses, it does not change what is sent
	AND NOT (w.form = 'string' AND format_type(a.atttypid, -1) IN ('text', 'character varying')))
UNION ALL
SELECT format('%s depends on it', what) FROM dependents
UNION ALL
SELECT format('foreign key %I of %s', c.conname, c.conrelid::regclass)
FROM t JOIN pg_constraint c ON c.contype = 'f' AND t.oid IN (c.conrelid, c.confrelid)
UNION ALL
SELECT format('trigger %I on it', g.tgname)
FROM t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
UNION ALL
SELECT format('rule %I on it', r.rulename)
FROM t JOIN pg_rewrite r ON r.ev_class = t.oid
UNION ALL
SELECT format('policy %I on it', p.polname)
FROM t JOIN pg_policy p ON p.polrelid = t.oid
UNION ALL
SELECT 'row level security on it'
FROM t WHERE relrowsecurity OR relforcerowsecurity
UNION ALL
SELECT format('publication %I, whose subscribers would miss the reset', p.pubname)
FROM t JOIN pg_publication_tables p ON p.schemaname = t.nspname AND p.tablename = t.relname
UNION ALL
SELECT format('%s is owned by a column of it', pg_describe_object(d.classid, d.objid, 0))
FROM t JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
	AND d.deptype = 'a'
JOIN pg_class s ON d.classid = 'pg_class'::regclass AND s.oid = d.objid AND s.relkind = 'S'
UNION ALL
SELECT format('a table %I.%I (not a reset''s: it leaves none behind)', t.nspname, o.relname)
FROM t JOIN pg_class o ON o.relnamespace = t.relnamespace AND o.relname = 'pgfanout_reset_' || $1::integer
UNION ALL
SELECT format('%s belongs to %I, whose rights %I lacks: connect as that user', called,
	pg_get_userbyid(relowner), current_user)
FROM t WHERE NOT pg_has_role(current_user, relowner, 'USAGE')
UNION ALL
SELECT format('%I may not create tables in schema %I: GRANT CREATE', current_user, nspname)
FROM t WHERE NOT has_schema_privilege(relnamespace, 'CREATE')
UNION ALL
SELECT format('%I may not empty pgfanout.tombstones_%s: GRANT TRUNCATE', current_user, $1::integer)
FROM t WHERE NOT has_table_privilege('pgfanout.tombstones_' || $1::integer, 'TRUNCATE')
UNION ALL
SELECT format('%I may not write %s: GRANT SELECT, INSERT, UPDATE', current_user, o.name)
FROM t CROSS JOIN (VALUES ('pgfanout.streams'), ('pgfanout.tables')) AS o (name)
WHERE NOT has_table_privilege(o.name, 'SELECT') OR NOT has_table_privilege(o.name, 'INSERT')
	OR NOT has_table_privilege(o.name, 'UPDATE')
UNION ALL
SELECT format('%I may not write %s: GRANT SELECT, INSERT, UPDATE, DELETE', current_user, o.name)
FROM t CROSS JOIN (VALUES ('pgfanout.received'), ('pgfanout.heartbeats'), ('pgfanout.dead_letters'))
	AS o (name)
CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS p (privilege)
WHERE NOT has_table_privilege(o.name, p.privilege)
GROUP BY o.name
