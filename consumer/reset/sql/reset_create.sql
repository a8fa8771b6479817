-- On a replica, in the reset's transaction: the statements that make pgfanout_reset_<id>, an empty table
-- like the registered table $1 without indexes (they are built after the load), in the order of their numbers.
-- hanging: whether something hangs on the old one, so that this one is only compared with it.
-- Everything that LIKE leaves out is carried over here or by reset_finish.sql, but for UNLOGGED: a
-- crash would empty the table.
WITH t AS (
	SELECT c.*, format('%I.%I', n.nspname, c.relname) AS old,
		format('%I.%I', n.nspname, 'pgfanout_reset_' || $1::integer) AS new,
		(SELECT amname FROM pg_am WHERE oid = c.relam) AS access_method,
		(SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace) AS tablespace
	FROM pg_class c
	JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = (SELECT relation FROM pgfanout.tables WHERE id = $1::integer)
), options AS ( -- storage parameters, those of its TOAST table too
	SELECT string_agg(o.prefix || quote_ident(split_part(o.text, '=', 1)) || '='
		|| quote_literal(substr(o.text, strpos(o.text, '=') + 1)), ', ') AS list
	FROM (
		SELECT '' AS prefix, unnest(t.reloptions) AS text FROM t
		UNION ALL
		SELECT 'toast.', unnest(toast.reloptions) FROM t
			JOIN pg_class toast ON toast.oid = t.reltoastrelid
	) AS o
)
SELECT 1 AS number, format('CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES'
		' EXCLUDING STATISTICS) USING %I%s%s',
	new, old, access_method,
	' WITH (' || options.list || ')', ' TABLESPACE ' || quote_ident(tablespace)) AS statement, new,
	EXISTS (SELECT FROM pgfanout.hanging($1::integer))::int AS hanging
FROM t, options
UNION ALL
SELECT 2, format('ALTER TABLE %s OWNER TO %I', new, pg_get_userbyid(relowner)), new, NULL
FROM t WHERE pg_get_userbyid(relowner) <> current_user
UNION ALL
SELECT 3,
	format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', new, a.attname, a.attstattarget),
	new, NULL
FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
	AND a.attstattarget >= 0
UNION ALL
-- Only n_distinct: some servers keep options of their own there.
SELECT 4, format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', new, a.attname, o.list), new, NULL
FROM t
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN LATERAL (SELECT string_agg(text, ', ') AS list FROM unnest(a.attoptions) AS text
	WHERE text LIKE 'n\_distinct%') AS o
WHERE o.list IS NOT NULL
ORDER BY number
