-- On a replica, in the reset's transaction, after the load: the statements that turn
-- pgfanout_reset_<id> into the registered table $1, or, where something hangs on the old one, bring the old
-- one up to date by the statements $2 (else NULL). $3: all tables that are reset. $4: the new one has been
-- altered, and had its steps before that: an index may have gone with a column that was made anew, and is
-- built if it still can be.
--
--   step   run one by one, however long they take: indexes and constraints under temporary names,
--          statistics, grants
--   first, swap, last   run as one, those of all tables together, under an ACCESS EXCLUSIVE lock on a table
--          that is replaced, all of it quick: the old table is dropped, the new one and its indexes get
--          the old names. Foreign keys are taken off first, and made again in the end.
--
-- what: for the progress shown. The old table is locked against changes of its definition, so what
-- is read here stays true.
WITH t AS (
	SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS old,
		format('%I.%I', n.nspname, 'pgfanout_reset_' || $1::integer) AS new,
		format('%I.%I', n.nspname, 'pgfanout_reset_' || $1::integer)::regclass AS new_oid
	FROM pg_class c
	JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = (SELECT relation FROM pgfanout.tables WHERE id = $1::integer) AND $2::text IS NULL
), updated AS (
	SELECT format('%I.%I', n.nspname, c.relname) AS old, c.relpersistence,
		format('%I.%I', n.nspname, 'pgfanout_reset_' || $1::integer) AS new
	FROM pg_class c
	JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = (SELECT relation FROM pgfanout.tables WHERE id = $1::integer) AND $2::text IS NOT NULL
), f AS ( -- foreign keys; of one between two tables that are reset its own table sees to it
	SELECT k.*, k.conrelid::regclass AS called, obj_description(k.oid, 'pg_constraint') AS comment
	FROM pgfanout.tables t JOIN pg_constraint k ON k.contype = 'f' AND k.conparentid = 0
		AND (t.relation = k.conrelid OR t.relation = k.confrelid AND NOT EXISTS (SELECT
			FROM pgfanout.tables o WHERE o.id = ANY ($3::integer[]) AND o.relation = k.conrelid))
	WHERE t.id = $1::integer
), i AS ( -- indexes; without invalid ones, which were never finished
	SELECT x.indexrelid, c.relname AS called,
		'pgfanout_reset_' || $1::integer || '_' || row_number() OVER (ORDER BY NOT x.indisprimary, c.relname)
			AS meanwhile,
		k.contype, k.condeferrable, k.condeferred, x.indisclustered, x.indisreplident,
		pg_get_constraintdef(k.oid) AS constraint_definition,
		coalesce((SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace), '')
			AS tablespace,
		CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END AS uniqueness,
		substr(d.text, strpos(d.text, ' USING ') + 1) AS using_what, d.text AS definition,
		obj_description(x.indexrelid, 'pg_class') AS index_comment,
		obj_description(k.oid, 'pg_constraint') AS constraint_comment
	FROM t
	JOIN pg_index x ON x.indrelid = t.oid AND x.indisvalid
	JOIN pg_class c ON c.oid = x.indexrelid
	CROSS JOIN LATERAL (SELECT substr(pg_get_indexdef(x.indexrelid),
		length(format('CREATE %sINDEX %I ON %s',
			CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END, c.relname, t.old)) + 1)
		AS text) AS d
	LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.conrelid = t.oid
		AND k.contype IN ('p', 'u', 'x')
), s AS ( -- extended statistics: CREATE STATISTICS name (kinds) ON columns FROM table
	SELECT e.oid, e.stxname AS called, n.nspname AS schema,
		'pgfanout_reset_' || $1::integer || '_s' || row_number() OVER (ORDER BY e.oid) AS meanwhile,
		substr(left(d.text, length(d.text) - length(' FROM ' || t.oid::regclass)),
			length(format('CREATE STATISTICS %I.%I', n.nspname, e.stxname)) + 1)
			AS rest,
		obj_description(e.oid, 'pg_statistic_ext') AS statistics_comment
	FROM t
	JOIN pg_statistic_ext e ON e.stxrelid = t.oid
	JOIN pg_namespace n ON n.oid = e.stxnamespace
	CROSS JOIN LATERAL (SELECT pg_get_statisticsobjdef(e.oid) AS text) AS d
), grants AS ( -- of the table and its columns; the new one may have some by default, which go first
	SELECT t.new, g.* FROM t CROSS JOIN LATERAL (
		SELECT NULL::name AS attname, a.* FROM aclexplode(t.relacl) a
		UNION ALL
		SELECT c.attname, a.* FROM pg_attribute c, aclexplode(c.attacl) a
		WHERE c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped
	) AS g
)
SELECT part, number, what, CASE WHEN $4::boolean AND number = 1 THEN format('DO %L', format(
	'BEGIN %s; EXCEPTION WHEN OTHERS THEN RAISE WARNING ''%%'', SQLERRM; END', statement)) ELSE statement END
	AS statement
FROM (
	SELECT 'step' AS part, 1 AS number, 'building index ' || called AS what,
		CASE WHEN contype = 'x' THEN format(
			'SET LOCAL default_tablespace = %L; ALTER TABLE %s ADD CONSTRAINT %I %s',
			tablespace, new, meanwhile, constraint_definition)
		ELSE format('SET LOCAL default_tablespace = %L; CREATE %sINDEX %I ON %s %s', tablespace,
			uniqueness, meanwhile, new, using_what)
		END AS statement
	FROM t, i WHERE NOT $4::boolean
		OR contype IS NULL AND to_regclass(format('%I.%I', nspname, meanwhile)) IS NULL
	UNION ALL
	SELECT 'step', 2, 'building index ' || called,
		format('ALTER TABLE %s ADD CONSTRAINT %I %s USING INDEX %I%s', new, meanwhile,
		CASE contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, meanwhile,
		CASE WHEN condeferred THEN ' DEFERRABLE INITIALLY DEFERRED'
			WHEN condeferrable THEN ' DEFERRABLE' END)
	FROM t, i WHERE contype IN ('p', 'u')
	UNION ALL
	SELECT 'step', 3, 'building statistics',
		format('CREATE STATISTICS %I.%I%s FROM %s', schema, meanwhile, rest, new) FROM t, s
	UNION ALL
	SELECT 'step', 4, 'analyzing', format('ANALYZE %s', new) FROM t
	UNION ALL
	SELECT 'step', 5, 'carrying over properties', statement FROM (
		SELECT format('COMMENT ON TABLE %s IS %L', new,
			obj_description(t.oid, 'pg_class')) AS statement FROM t
		UNION ALL
		SELECT format('COMMENT ON INDEX %I.%I IS %L', nspname, meanwhile, index_comment) FROM t, i
			WHERE index_comment IS NOT NULL
		UNION ALL
		SELECT format('COMMENT ON CONSTRAINT %I ON %s IS %L', meanwhile, new, constraint_comment)
		FROM t, i WHERE constraint_comment IS NOT NULL
		UNION ALL
		SELECT format('COMMENT ON STATISTICS %I.%I IS %L', schema, meanwhile, statistics_comment)
		FROM s WHERE statistics_comment IS NOT NULL
		UNION ALL
		SELECT format('ALTER TABLE %s CLUSTER ON %I', new, meanwhile) FROM t, i WHERE indisclustered
		UNION ALL
		SELECT format('ALTER TABLE %s REPLICA IDENTITY %s', new,
			CASE relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END)
		FROM t WHERE relreplident IN ('f', 'n')
		UNION ALL
		SELECT format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', new, meanwhile) FROM t, i
			WHERE indisreplident
	) AS carried
	UNION ALL
	SELECT 'step', 6, 'carrying over grants', format('REVOKE ALL ON TABLE %s FROM %s', new, role) FROM (
		SELECT DISTINCT t.new, CASE a.grantee WHEN 0 THEN 'PUBLIC'
			ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
		FROM t JOIN pg_class n ON n.oid = t.new_oid,
			aclexplode(coalesce(n.relacl, acldefault('r', n.relowner))) a
		WHERE t.relacl IS NOT NULL OR a.grantee <> n.relowner
	) AS defaults
	UNION ALL
	SELECT 'step', 7, 'carrying over grants',
		format('GRANT %s%s ON TABLE %s TO %s%s',
			privilege_type, '(' || quote_ident(attname) || ')', new,
		CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
		CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)
	FROM grants
) AS steps WHERE NOT $4::boolean OR number IN (1, 4)
UNION ALL
SELECT 'step', 4, 'analyzing', format('ANALYZE %s', new) FROM updated
UNION ALL
SELECT 'first', 1, '', format('ALTER TABLE %s DROP CONSTRAINT %I', called, conname) FROM f
UNION ALL
SELECT 'last', 0, '', format('ALTER TABLE %s SET LOGGED', old) FROM updated WHERE relpersistence = 'u'
UNION ALL
SELECT 'last', 1, '', format('ALTER TABLE %s ADD CONSTRAINT %I %s', called, conname, pg_get_constraintdef(oid)) FROM f
UNION ALL
SELECT 'last', 2, '', format('COMMENT ON CONSTRAINT %I ON %s IS %L', conname, called, comment) FROM f
WHERE comment IS NOT NULL
UNION ALL
SELECT 'swap', 8, '', $2::text FROM updated
UNION ALL
SELECT 'swap', 9, '', format('DROP TABLE %s', new) FROM updated
UNION ALL
SELECT 'swap', 8, '', format('TRUNCATE pgfanout.tombstones_%1$s; DELETE FROM pgfanout.dead_letters WHERE "table" = %1$s',
	$1::integer)
UNION ALL -- small or just emptied
SELECT 'swap', 9, '', format('ALTER TABLE %s SET LOGGED', oid::regclass) FROM pg_class
WHERE relpersistence = 'u' AND relnamespace = 'pgfanout'::regnamespace AND relkind = 'r'
UNION ALL
SELECT 'swap', 9, '', format('DROP TABLE %s', old) FROM t
UNION ALL
SELECT 'swap', 10, '', format('ALTER TABLE %s RENAME TO %I', new, relname) FROM t
UNION ALL
SELECT 'swap', 11, '', CASE WHEN contype IS NULL
	THEN format('ALTER INDEX IF EXISTS %I.%I RENAME TO %I', nspname, meanwhile, called)
	ELSE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', old, meanwhile, called) END
FROM t, i WHERE NOT $4::boolean OR contype IS NULL OR to_regclass(format('%I.%I', nspname, meanwhile)) IS NOT NULL
UNION ALL
SELECT 'swap', 12, '', format('ALTER STATISTICS %I.%I RENAME TO %I', schema, meanwhile, called)
	FROM t, s WHERE NOT $4::boolean OR EXISTS (SELECT FROM pg_statistic_ext e
		WHERE e.stxname = meanwhile AND e.stxrelid = new_oid)
UNION ALL
SELECT 'swap', 13, '', format('UPDATE pgfanout.tables SET relation = %L::regclass WHERE id = %s', old, $1::integer) FROM t
ORDER BY number, what, statement
