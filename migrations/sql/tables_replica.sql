-- On a replica called $2: how far it is with the tables $1 ([{"id":101,"stream":2,"shape":7,"replicas":null},…]),
-- a row each, in their order. Why it waits, or is not complete; and how many rows a load has brought by now. A
-- reset holds the advisory lock 1885824610/<stream> for itself, and its statements name the table.
WITH busy AS MATERIALIZED (
	SELECT l.objid::integer AS stream FROM pg_locks l
	WHERE l.locktype = 'advisory' AND l.classid = 1885824610 AND l.objsubid = 2
		AND l.granted AND l.mode = 'ExclusiveLock'
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
), loads AS MATERIALIZED (
	SELECT (regexp_match(a.query, 'pgfanout_reset_([0-9]+)'))[1]::integer AS id, p.tuples_processed AS rows
	FROM pg_stat_activity a LEFT JOIN pg_stat_progress_copy p ON p.pid = a.pid
	WHERE a.application_name = 'reset-replicas' AND a.datname = current_database()
)
SELECT f.state, CASE f.state WHEN 'waiting' THEN coalesce(g.reason, f.why) WHEN 'incomplete' THEN f.why END,
	l.rows, (SELECT count(*) FROM pgfanout.dead_letters d WHERE d."table" = w.id)
FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS j (j, place)
CROSS JOIN LATERAL jsonb_to_record(j.j) AS w (id integer, stream integer, shape integer, replicas jsonb)
LEFT JOIN pgfanout.tables t ON t.id = w.id
LEFT JOIN pgfanout.streams s ON s.stream = w.stream
LEFT JOIN LATERAL (SELECT h.waiting AS reason FROM pgfanout.shapes h
	WHERE h.description -> 'table' = to_jsonb(w.id) AND h.waiting IS NOT NULL
	ORDER BY h.id DESC LIMIT 1) AS g ON true
LEFT JOIN loads l ON l.id = w.id
CROSS JOIN LATERAL (SELECT CASE
	WHEN jsonb_typeof(w.replicas) = 'array' AND NOT w.replicas ? $2::text THEN 'left out'
	WHEN t.id IS NULL THEN 'waiting'
	WHEN NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relation) THEN 'waiting'
	WHEN l.id IS NOT NULL OR t.due AND w.stream IN (SELECT stream FROM busy) THEN 'loading'
	WHEN t.due OR t.shape < w.shape THEN 'waiting'
	WHEN s.needs_reset THEN 'incomplete'
	ELSE 'loaded' END AS state,
	CASE WHEN t.id IS NULL THEN 'it has not heard of it yet: is its consumer at work?'
	WHEN NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relation) THEN 'its table was dropped there'
	WHEN t.due THEN 'its rows are yet to be loaded: by its consumer (AUTO_RESET), or reset-replicas --table'
	WHEN t.shape < w.shape THEN 'it was altered, and has not heard of that yet'
	ELSE s.reason END AS why) AS f
ORDER BY j.place
