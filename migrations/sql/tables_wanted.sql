-- On the primary: which of the names $1 (the setting TABLES) are not registered yet, in their order, and the
-- statement that registers each.
SELECT (SELECT string_agg(quote_ident(word), '.') FROM unnest(parse_ident(rtrim(w.name, '.*'))) AS word)
		|| CASE WHEN w.name LIKE '%*' THEN '.*' ELSE '' END AS called,
	CASE WHEN w.name LIKE '%*' THEN format('SELECT pgfanout.add_schema(%L)', left(w.name, -2))
	ELSE format('SELECT pgfanout.add_table(%L)', w.name) END AS statement
FROM unnest($1::text[]) WITH ORDINALITY AS w (name, place)
WHERE NOT CASE WHEN w.name LIKE '%*'
	THEN EXISTS (SELECT FROM pgfanout.schemas s WHERE s.name = (parse_ident(left(w.name, -2)))[1])
	ELSE EXISTS (SELECT FROM pgfanout.registered r WHERE r.relation = to_regclass(w.name)) END
ORDER BY w.place
