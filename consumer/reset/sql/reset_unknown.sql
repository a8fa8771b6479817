-- On the primary: which of the names $1 no registered table has, and what is registered. No row: each has one.
SELECT string_agg(w.name, ', '), coalesce((SELECT string_agg(r.relation::text, ', ' ORDER BY r.id)
	FROM pgfanout.registered r), 'nothing')
FROM unnest($1::text[]) AS w (name)
WHERE w.name !~ '^[0-9]+$'
	AND NOT EXISTS (SELECT FROM pgfanout.registered r WHERE r.relation = to_regclass(w.name))
HAVING count(*) > 0
