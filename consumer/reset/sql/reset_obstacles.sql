-- On a replica: what would be lost with the old table products, or would keep it from being
-- dropped, a phrase each. Most of it can be dropped before the reset and made again after it. No
-- row: nothing is in the way.
WITH t AS (
	SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS called,
		ARRAY[c.reltype, (SELECT typarray FROM pg_type WHERE oid = c.reltype)] AS types
	FROM pg_class c
	JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = to_regclass('products')
), wanted (attname, types) AS (
	VALUES ('id', '{uuid}'::regtype[]), ('name', '{text,varchar}'), ('price', '{numeric}'),
		('stock', '{integer}'), ('created_at', '{timestamptz}'),
		('updated_at', '{timestamptz}'), ('version', '{bigint}')
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
		format_type(a.atttypid, a.atttypmod), w.types[1]) END
FROM t CROSS JOIN wanted w
LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = w.attname AND NOT a.attisdropped
WHERE a.attname IS NULL OR NOT a.atttypid = ANY (w.types)
	OR (a.attname IN ('price', 'created_at', 'updated_at') AND a.atttypmod <> -1) -- it rounds
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
SELECT format('a table %I.products_reset (not a reset''s: it leaves none behind)', t.nspname)
FROM t JOIN pg_class o ON o.relnamespace = t.relnamespace AND o.relname = 'products_reset'
UNION ALL
SELECT format('%s belongs to %I, whose rights %I lacks: connect as that user', called,
	pg_get_userbyid(relowner), current_user)
FROM t WHERE NOT pg_has_role(current_user, relowner, 'USAGE')
UNION ALL
SELECT format('%I may not create tables in schema %I: GRANT CREATE', current_user, nspname)
FROM t WHERE NOT has_schema_privilege(relnamespace, 'CREATE')
UNION ALL
SELECT format('%I may not empty products_tombstones: GRANT TRUNCATE', current_user)
FROM t WHERE NOT has_table_privilege('products_tombstones', 'TRUNCATE')
UNION ALL
SELECT format('%I may not write products_replication: GRANT SELECT, INSERT, UPDATE', current_user)
FROM t WHERE NOT has_table_privilege('products_replication', 'SELECT')
	OR NOT has_table_privilege('products_replication', 'INSERT')
	OR NOT has_table_privilege('products_replication', 'UPDATE')
UNION ALL
SELECT format('%I may not write %I: GRANT SELECT, INSERT, UPDATE, DELETE', current_user, o.name)
FROM t CROSS JOIN (VALUES ('products_received'), ('products_heartbeats')) AS o (name)
CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS p (privilege)
WHERE NOT has_table_privilege(o.name, p.privilege)
GROUP BY o.name
