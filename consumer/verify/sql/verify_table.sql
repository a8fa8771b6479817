-- On a replica: what the table $1 is called here, its shape, and whether its rows are yet to be loaded. No
-- row: it is not here.
SELECT format('%I.%I', n.nspname, c.relname) AS name, t.shape, t.due::integer
FROM pgfanout.tables t JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.id = $1::integer
