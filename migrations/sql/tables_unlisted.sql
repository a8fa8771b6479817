-- On the primary: what is registered, and not among the names $1 (the setting TABLES), and the statement that
-- ends it. Products are registered by pgfanout itself.
WITH listed AS MATERIALIZED (
	SELECT CASE WHEN name NOT LIKE '%*' THEN to_regclass(name) END AS relation,
		CASE WHEN name LIKE '%*' THEN (parse_ident(left(name, -2)))[1] END AS schema
	FROM unnest($1::text[]) AS name
)
SELECT format('%I.*', s.name), format('SELECT pgfanout.drop_schema(%L)', quote_ident(s.name))
FROM pgfanout.schemas s WHERE s.name NOT IN (SELECT schema FROM listed WHERE schema IS NOT NULL)
UNION ALL
SELECT format('%I.%I', n.nspname, c.relname), format('SELECT pgfanout.drop_table(%L)', format('%I.%I', n.nspname, c.relname))
FROM pgfanout.registered r JOIN pg_class c ON c.oid = r.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.id <> 1 AND r.relation NOT IN (SELECT relation FROM listed WHERE relation IS NOT NULL)
	AND n.nspname NOT IN (SELECT schema FROM listed WHERE schema IS NOT NULL)
ORDER BY 1
