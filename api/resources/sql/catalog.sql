-- What the listed resources are, from the primary's catalog: the text of model.h.
--   $1 the list, as listed_json() writes it     $2 the fingerprint of the last answer; '' at first
--   0  the fingerprint                          1  the text; NULL: nothing has changed
--
-- It runs twice a second, so what tells that nothing has changed must cost little: `looked` adds up where each row
-- of the catalog stands that the text depends on, and which transaction wrote it, found by indexes. All that is
-- behind it is run only when that is another sum.
--
-- What a column is comes from the description of the registered shape, as replicas have it; the catalog adds what
-- replicas do not know: defaults, comments, indexes, references.
WITH RECURSIVE listed AS MATERIALIZED (
	SELECT l.place, l.name, l.schema, l.relation
	FROM ROWS FROM (jsonb_to_recordset($1::jsonb) AS (name text, schema text, relation text))
		WITH ORDINALITY AS l (name, schema, relation, place)
), found AS MATERIALIZED ( -- whatever has these names
	SELECT l.place, c.oid, c.relkind, c.relispartition, n.oid AS namespace, format('%I.%I', n.nspname, c.relname) AS called
	FROM listed l JOIN pg_class c ON c.relname = l.relation::name JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE (l.schema IS NULL OR n.nspname = l.schema::name)
		AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgfanout')
), tables AS MATERIALIZED (
	SELECT DISTINCT f.oid, f.relkind, f.namespace FROM found f
), parts (root, part, attached) AS MATERIALIZED (
	SELECT t.oid, i.inhrelid, i.xmin FROM tables t JOIN pg_inherits i ON i.inhparent = t.oid
	WHERE t.relkind = 'p' AND NOT i.inhdetachpending
	UNION ALL
	SELECT p.root, i.inhrelid, i.xmin FROM parts p JOIN pg_inherits i ON i.inhparent = p.part
	WHERE NOT i.inhdetachpending
), used (type) AS MATERIALIZED ( -- types of users, and what they are made of
	SELECT a.atttypid FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND a.atttypid >= 16384
	UNION
	SELECT b.type FROM used u JOIN pg_type y ON y.oid = u.type
	CROSS JOIN LATERAL (VALUES (y.typbasetype), (y.typelem)) AS b (type) WHERE b.type >= 16384
), looked AS MATERIALIZED (
	SELECT format('%s/%s', count(*), coalesce(bit_xor(hashtextextended(row, 0)), 0)) AS fingerprint FROM (
		SELECT concat('list ', $1::text) AS row
		-- How many rows there are is about right: another number only if it is a fifth more or less.
		UNION ALL SELECT concat('class ', c.oid, c.xmin, c.ctid, CASE WHEN c.reltuples < 0 THEN -1
				ELSE round(ln(1 + c.reltuples) * 5) END)
			FROM tables t JOIN pg_class c ON c.oid = t.oid
		UNION ALL SELECT concat('schema ', n.oid, n.xmin, n.ctid)
			FROM pg_namespace n WHERE n.oid IN (SELECT t.namespace FROM tables t)
		UNION ALL SELECT concat('column ', a.attrelid, ' ', a.attnum, ' ', a.xmin, a.ctid)
			FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0
		UNION ALL SELECT concat('default ', d.oid, ' ', d.xmin, d.ctid)
			FROM tables t JOIN pg_attrdef d ON d.adrelid = t.oid
		UNION ALL SELECT concat('index ', i.indexrelid, ' ', i.xmin, i.ctid)
			FROM tables t JOIN pg_index i ON i.indrelid = t.oid
		UNION ALL SELECT concat('constraint ', k.oid, ' ', k.xmin, k.ctid)
			FROM tables t JOIN pg_constraint k ON k.conrelid = t.oid
		UNION ALL SELECT concat('comment ', d.objoid, ' ', d.objsubid, ' ', d.xmin, d.ctid)
			FROM tables t JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = t.oid
		UNION ALL SELECT concat('trigger ', g.oid, ' ', g.xmin, g.ctid)
			FROM (SELECT t.oid FROM tables t UNION ALL SELECT p.part FROM parts p) AS t JOIN pg_trigger g ON g.tgrelid = t.oid
		UNION ALL SELECT concat('rule ', r.oid, ' ', r.xmin, r.ctid)
			FROM tables t JOIN pg_rewrite r ON r.ev_class = t.oid
		UNION ALL SELECT concat('type ', y.oid, ' ', y.xmin, y.ctid)
			FROM used u JOIN pg_type y ON y.oid = u.type
		UNION ALL SELECT concat('label ', e.oid, ' ', e.xmin, e.ctid)
			FROM used u JOIN pg_enum e ON e.enumtypid = u.type
		UNION ALL SELECT concat('part ', p.part, ' ', p.attached)
			FROM parts p
		UNION ALL SELECT concat('parts ', p.root, ' ', round(ln(1 + sum(greatest(c.reltuples, 0))) * 5), ' ',
				max(c.reltuples) < 0)
			FROM parts p JOIN pg_class c ON c.oid = p.part GROUP BY p.root
		UNION ALL SELECT concat('registered ', r.id, ' ', r.xmin, r.ctid)
			FROM tables t JOIN pgfanout.registered r ON r.relation = t.oid
	) AS rows
),

-- ---- only if something has changed ----

candidates AS MATERIALIZED (
	SELECT f.*, r.id, r.shape, r.filter, r.stream, s.description, count(*) OVER (PARTITION BY f.place) AS n
	FROM found f JOIN pgfanout.registered r ON r.relation = f.oid JOIN pgfanout.shapes s ON s.id = r.shape
), unusable AS MATERIALIZED ( -- columns that cannot be named in a request
	SELECT c.place, min(a.col ->> 'name') AS name
	FROM candidates c CROSS JOIN jsonb_array_elements(c.description -> 'columns') AS a (col)
	WHERE a.col ->> 'name' ~ '[[:cntrl:]]'
	GROUP BY c.place
), resources AS MATERIALIZED (
	SELECT c.*, l.name FROM candidates c JOIN listed l ON l.place = c.place
	WHERE c.n = 1 AND NOT EXISTS (SELECT FROM unusable u WHERE u.place = c.place)
), registered AS MATERIALIZED ( -- one of two names may do for a table
	SELECT DISTINCT ON (r.oid) r.oid, r.relkind, r.description FROM resources r ORDER BY r.oid
), named (type, kind) AS MATERIALIZED (
	VALUES ('boolean'::regtype::oid, 'boolean'), ('smallint'::regtype, 'integer'), ('integer'::regtype, 'integer'),
		('bigint'::regtype, 'integer'), ('numeric'::regtype, 'number'), ('real'::regtype, 'number'),
		('double precision'::regtype, 'number'), ('json'::regtype, 'json'), ('jsonb'::regtype, 'json'),
		('timestamptz'::regtype, 'utc'), ('timestamp'::regtype, 'time'), ('date'::regtype, 'time'),
		('text'::regtype, 'text'), ('varchar'::regtype, 'text'), ('bpchar'::regtype, 'text'), ('name'::regtype, 'text'),
		('uuid'::regtype, 'text')
), columns AS MATERIALIZED ( -- of the description; a: what it is now, NULL if it has just been dropped
	SELECT r.oid, d.place, (d.col ->> 'att')::smallint AS att, d.col ->> 'name' AS name, d.col ->> 'type' AS type,
		(d.col ->> 'notnull')::boolean AS not_null, a.attcollation AS collation, a.attidentity AS identity,
		coalesce(a.attgenerated, '') <> '' AS generated, coalesce(a.atthasdef, false) OR a.attidentity <> ''
			OR coalesce(y.typdefault, '') <> '' AS has_default
	FROM registered r CROSS JOIN jsonb_array_elements(r.description -> 'columns') WITH ORDINALITY AS d (col, place)
	LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = (d.col ->> 'att')::smallint AND NOT a.attisdropped
	LEFT JOIN pg_type y ON y.oid = a.atttypid
), types AS MATERIALIZED (
	SELECT w.type, y.oid, CASE WHEN y.typtype = 'e' THEN y.oid WHEN e.typtype = 'e' THEN e.oid END AS enum,
		CASE WHEN n.kind IS NOT NULL THEN n.kind WHEN y.typtype = 'e' THEN 'text'
			WHEN e.typtype = 'e' OR m.kind <> 'json' THEN 'array' ELSE 'other' END AS kind,
		CASE WHEN n.kind IS NULL AND (e.typtype = 'e' OR m.kind <> 'json') THEN coalesce(m.kind, 'text') END AS element,
		coalesce(y.typtype = 'e' OR y.oid = ANY ('{boolean,smallint,integer,bigint,oid,uuid,text,varchar,name,bytea,'
			'date,time,timestamp,timestamptz,"\"char\""}'::regtype[]), false) AS plain
	FROM (SELECT DISTINCT c.type FROM columns c) AS w LEFT JOIN pg_type y ON y.oid = to_regtype(w.type)
	LEFT JOIN named n ON n.type = y.oid
	LEFT JOIN pg_type e ON e.oid = y.typelem AND e.typarray = y.oid LEFT JOIN named m ON m.type = e.oid
), columns_json AS MATERIALIZED (
	SELECT c.oid, jsonb_agg(jsonb_build_object('name', c.name, 'number', c.att, 'type', c.type, 'kind', t.kind, 'element', t.element,
			'labels', (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.enum),
			'comment', d.description, 'notnull', nullif(c.not_null, false), 'default', nullif(c.has_default, false),
			'identity', CASE c.identity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
			'generated', nullif(c.generated, false), 'collation', nullif(c.collation, 0)::bigint,
			'plain', nullif(t.plain AND coalesce(l.collisdeterministic, true), false),
			'max', substring(c.type FROM '^character varying\((\d+)\)$')::integer) ORDER BY c.place) AS json
	FROM columns c JOIN types t ON t.type = c.type
	LEFT JOIN pg_collation l ON l.oid = c.collation
	LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = c.att
	GROUP BY c.oid
), bytewise AS MATERIALIZED ( -- by which LIKE 'a%' is a range; not the default, which may be another one on a replica
	SELECT l.oid FROM pg_collation l WHERE l.collprovider = 'b' OR l.collprovider = 'c' AND l.collcollate IN ('C', 'POSIX')
), index_columns AS MATERIALIZED ( -- name NULL: the index ends before it
	SELECT i.indrelid, i.indexrelid, i.indnkeyatts, i.indisunique AND i.indimmediate AS is_unique, m.amname AS method, k.place,
		k.option & 1 = 1 AS is_desc, f.pattern, f.pattern AND f.pattern_class OR f.unequal OR k.option IN (1, 2) AS unordered,
		f.unequal, CASE WHEN f.pattern OR NOT f.unequal AND (o.opcdefault OR EXISTS (SELECT FROM pg_opclass d
			WHERE d.opcmethod = o.opcmethod AND d.opcfamily = o.opcfamily AND d.opcintype = o.opcintype AND d.opcdefault))
			THEN c.name END AS name
	FROM registered r JOIN pg_index i ON i.indrelid = r.oid AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
	JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam AND m.amname IN ('btree', 'hash')
	CROSS JOIN unnest(i.indkey::smallint[], i.indoption::smallint[], i.indclass::oid[], i.indcollation::oid[])
		WITH ORDINALITY AS k (att, option, class, sort, place)
	LEFT JOIN columns c ON c.oid = r.oid AND c.att = k.att LEFT JOIN types t ON t.type = c.type
	LEFT JOIN pg_opclass o ON o.oid = k.class
	CROSS JOIN LATERAL (SELECT o.opcname IN ('text_pattern_ops', 'varchar_pattern_ops', 'bpchar_pattern_ops') AS pattern_class)
		AS p
	CROSS JOIN LATERAL (SELECT p.pattern_class, k.sort IS DISTINCT FROM c.collation AS unequal, m.amname = 'btree'
		AND (p.pattern_class OR t.oid = ANY ('{text,varchar,bpchar,name}'::regtype[]) AND k.sort IN (SELECT oid FROM bytewise))
		AS pattern) AS f
	WHERE k.place <= i.indnkeyatts
), indexes AS MATERIALIZED (
	SELECT x.indrelid, x.indexrelid, jsonb_build_object('method', min(x.method),
		'unique', CASE WHEN bool_and(x.is_unique) AND count(*) = min(x.indnkeyatts) AND NOT bool_or(x.unequal) THEN true END,
		'columns', jsonb_agg(jsonb_build_object('name', x.name, 'desc', nullif(x.is_desc, false),
			'pattern', nullif(x.pattern, false), 'unordered', nullif(x.unordered, false), 'unequal', nullif(x.unequal, false))
			ORDER BY x.place)) AS json
	FROM index_columns x
	WHERE NOT EXISTS (SELECT FROM index_columns b WHERE b.indexrelid = x.indexrelid AND b.place <= x.place AND b.name IS NULL)
	GROUP BY x.indrelid, x.indexrelid
), indexes_json AS MATERIALIZED (
	SELECT x.indrelid AS oid, jsonb_agg(x.json ORDER BY x.indexrelid) AS json FROM indexes x GROUP BY x.indrelid
), facts AS MATERIALIZED (
	SELECT r.oid, d.description AS comment, CASE WHEN r.relkind <> 'p' THEN c.reltuples::bigint
			ELSE coalesce((SELECT sum(b.reltuples) FROM parts p JOIN pg_class b ON b.oid = p.part
				WHERE p.root = r.oid AND b.relkind <> 'p' AND b.reltuples >= 0), -1)::bigint END AS rows,
		NOT EXISTS (SELECT FROM (SELECT r.oid UNION ALL SELECT p.part FROM parts p WHERE p.root = r.oid) AS w (oid)
				JOIN pg_trigger g ON g.tgrelid = w.oid JOIN pg_proc f ON f.oid = g.tgfoid
			WHERE NOT g.tgisinternal AND g.tgtype & 4 = 4 AND g.tgenabled <> 'D' -- of INSERT
				AND f.pronamespace <> 'pgfanout'::regnamespace)
			AND NOT EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = r.oid)
			AND NOT row_security_active(r.oid)
			AND NOT EXISTS (SELECT FROM parts p JOIN pg_class b ON b.oid = p.part WHERE p.root = r.oid AND b.relkind = 'f')
			AS joined,
		NOT EXISTS (SELECT FROM (SELECT r.oid UNION ALL SELECT p.part FROM parts p WHERE p.root = r.oid) AS w (oid)
				JOIN pg_trigger g ON g.tgrelid = w.oid JOIN pg_proc f ON f.oid = g.tgfoid
			WHERE NOT g.tgisinternal AND g.tgtype & 16 = 16 AND g.tgenabled <> 'D' -- of UPDATE
				AND f.pronamespace <> 'pgfanout'::regnamespace) AS untouched
	FROM registered r JOIN pg_class c ON c.oid = r.oid
	LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = r.oid AND d.objsubid = 0
), constraints_json AS MATERIALIZED ( -- the column that is to blame, of a check only if it is of one
	SELECT k.oid, jsonb_agg(jsonb_build_object('name', k.name, 'column', c.name) ORDER BY k.name) AS json
	FROM (
		SELECT r.oid, n.conname AS name, n.conkey[1] AS att FROM registered r JOIN pg_constraint n ON n.conrelid = r.oid
		WHERE n.contype <> 'c' OR cardinality(n.conkey) = 1
		UNION
		SELECT r.oid, x.relname, i.indkey[0] FROM registered r JOIN pg_index i ON i.indrelid = r.oid AND i.indisunique
		JOIN pg_class x ON x.oid = i.indexrelid
	) AS k JOIN columns c ON c.oid = k.oid AND c.att = k.att
	GROUP BY k.oid
), resources_json AS MATERIALIZED (
	SELECT jsonb_agg(jsonb_build_object('name', r.name, 'table', r.id, 'shape', r.shape,
			'schema', r.description ->> 'schema', 'relation', r.description ->> 'name', 'filter', r.filter,
			'comment', f.comment, 'rows', f.rows, 'joined', nullif(f.joined, false),
			'replaced', nullif(f.joined AND f.untouched, false), 'partitioned', nullif(r.relkind = 'p', false),
			'stream', r.description ->> 'stream', 'streamNumber', r.stream,
			'version', r.description ->> 'version',
			'columns', c.json, 'indexes', x.json, 'constraints', k.json,
			'key', (SELECT jsonb_agg(c.name ORDER BY k.place)
				FROM jsonb_array_elements(r.description -> 'key') WITH ORDINALITY AS k (att, place)
				JOIN columns c ON c.oid = r.oid AND c.att = k.att::smallint)) ORDER BY r.place) AS json
	FROM resources r JOIN columns_json c ON c.oid = r.oid JOIN facts f ON f.oid = r.oid
	LEFT JOIN indexes_json x ON x.oid = r.oid LEFT JOIN constraints_json k ON k.oid = r.oid
), foreign_keys AS MATERIALIZED (
	SELECT k.conrelid, k.confrelid, w.columns, w.keys,
		-- a parent has at most one child by it
		EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
			WHERE i.indrelid = k.conrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
				AND m.amname = 'btree' AND i.indnkeyatts = cardinality(k.conkey)
				AND (i.indkey::smallint[])[0:i.indnkeyatts - 1] @> k.conkey) AS is_unique
	FROM registered r JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype = 'f' AND k.convalidated
	CROSS JOIN LATERAL (SELECT jsonb_agg(c.name ORDER BY n.place) AS columns, jsonb_agg(p.name ORDER BY n.place) AS keys,
			count(*) AS n
		FROM unnest(k.conkey, k.confkey) WITH ORDINALITY AS n (child, parent, place)
		JOIN columns c ON c.oid = k.conrelid AND c.att = n.child
		JOIN columns p ON p.oid = k.confrelid AND p.att = n.parent) AS w
	WHERE w.n = cardinality(k.conkey) AND to_jsonb(k) -> 'conperiod' IS DISTINCT FROM 'true' -- from PostgreSQL 18 on
), references_json AS MATERIALIZED (
	SELECT jsonb_agg(w.json ORDER BY w.json) AS json FROM (
		SELECT DISTINCT jsonb_build_object('child', c.name, 'columns', k.columns, 'parent', p.name, 'keys', k.keys,
			'unique', nullif(k.is_unique, false)) AS json
		FROM foreign_keys k JOIN resources c ON c.oid = k.conrelid JOIN resources p ON p.oid = k.confrelid) AS w
), missing_json AS MATERIALIZED (
	SELECT jsonb_agg(jsonb_build_object('name', l.name, 'reason', CASE
			WHEN c.n > 1 THEN format('several registered tables are called %s: name one with its schema, %s=schema.%s',
				l.relation, l.name, l.relation)
			WHEN c.n = 1 THEN format('a column of %s has control characters in its name: rename it, or leave it out '
				'with pgfanout.add_table(%L, columns => ...)', c.called, c.called)
			WHEN f.relispartition THEN format('%s is a partition: name the table that it is a part of', f.called)
			WHEN f.relkind IN ('r', 'p') THEN format('the table %s is not registered: SELECT pgfanout.add_table(%L)',
				f.called, f.called)
			WHEN f.called IS NOT NULL THEN format('%s is no table, and only tables can be registered', f.called)
			WHEN s.called IS NOT NULL THEN format('there is no table %s; there is %s, and names are taken as they are '
				'written: %s=%s', coalesce(l.schema || '.', '') || l.relation, s.called, l.name, s.name)
			ELSE format('there is no table %s', coalesce(l.schema || '.', '') || l.relation) END) ORDER BY l.place) AS json
	FROM listed l
	LEFT JOIN LATERAL (SELECT c.n, c.called FROM candidates c WHERE c.place = l.place ORDER BY c.called LIMIT 1) AS c ON true
	LEFT JOIN LATERAL (SELECT f.* FROM found f WHERE f.place = l.place
		ORDER BY f.relkind IN ('r', 'p') DESC, f.called LIMIT 1) AS f ON true
	LEFT JOIN LATERAL (SELECT format('%I.%I', n.nspname, t.relname) AS called, t.relname AS name
		FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
		WHERE f.called IS NULL AND lower(t.relname) = lower(l.relation) AND t.relkind IN ('r', 'p')
			AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgfanout')
			AND (l.schema IS NULL OR n.nspname = l.schema) LIMIT 1) AS s ON true
	WHERE NOT EXISTS (SELECT FROM resources r WHERE r.place = l.place)
)
SELECT w.fingerprint, CASE WHEN w.fingerprint <> $2::text THEN (
	SELECT jsonb_strip_nulls(jsonb_build_object('resources', r.json, 'references', f.json, 'missing', m.json))::text
	FROM resources_json r, references_json f, missing_json m) END
FROM looked w;
