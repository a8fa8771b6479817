-- users?limit=5&select=name,id placed
-- values:
SELECT (SELECT concat_ws(' ', coalesce(pg_sequence_last_value('pgfanout.seen_2'), 9223372036854775807), w.n, p2.lsn, p2.source) FROM pgfanout.wrong_changes AS w LEFT JOIN (SELECT * FROM pgfanout.positions WHERE stream = 2 ORDER BY stream DESC, lsn DESC LIMIT 1) AS p2 ON true), NULL
UNION ALL
(SELECT (('{"name":' || coalesce(to_json(p."name")::text, 'null')) || (',"id":' || (p."id"::text || '}'))),
	p."id"::bigint
FROM "public"."User" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) THEN true ELSE pgfanout.readable(1, 101, '"public"."User"'::regclass) END
ORDER BY p."id"
LIMIT $1::bigint);

-- posts?limit=50&count=exact&embed=comments setting users!userId placed
-- values:
SELECT (SELECT concat_ws(' ', greatest(coalesce(pg_sequence_last_value('pgfanout.seen_2'), 9223372036854775807), coalesce(pg_sequence_last_value('pgfanout.seen_3'), 9223372036854775807)), w.n, CASE WHEN p2.source = p3.source THEN concat_ws(' ', least(p2.lsn, p3.lsn), p2.source) END) FROM pgfanout.wrong_changes AS w LEFT JOIN (SELECT * FROM pgfanout.positions WHERE stream = 2 ORDER BY stream DESC, lsn DESC LIMIT 1) AS p2 ON true LEFT JOIN (SELECT * FROM pgfanout.positions WHERE stream = 3 ORDER BY stream DESC, lsn DESC LIMIT 1) AS p3 ON true), NULL, false
UNION ALL
(SELECT (SELECT count(*) FROM "public"."Post" AS p)::text, NULL, false
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 3 AND t.shape = 103 AND t.relation = '"public"."Comment"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) AND pgfanout.readable(1, 101, '"public"."User"'::regclass) AND pgfanout.readable(3, 103, '"public"."Comment"'::regclass) END
UNION ALL
(SELECT (((('{"id":' || (p."id"::text || ',"title":')) || (coalesce(to_json(p."title")::text, 'null') || (',"published":' || coalesce(p."published"::text, 'null')))) || ((',"userId":' || (coalesce(p."userId"::text, 'null') || ',"editorId":')) || (coalesce(p."editorId"::text, 'null') || (',"categoryId":' || coalesce(p."categoryId"::text, 'null'))))) || (((',"createdAt":' || (CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"rating":')) || (CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END || (coalesce(',"meta":' || p."meta"::text, '') || ',"users":'))) || ((coalesce(e0.j, 'null') || (',"comments":[' || coalesce(e1.j, ''))) || (']' || (CASE WHEN e1.more THEN ',"commentsTruncated":true' ELSE '' END || '}'))))),
	p."id"::bigint,
	p."userId" IS NOT NULL AND e0.j IS NULL
FROM (SELECT p.* FROM "public"."Post" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT ((('{"id":' || (c0."id"::text || ',"email":')) || (coalesce(to_json(c0."email")::text, 'null') || (',"name":' || coalesce(to_json(c0."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00' AND c0."createdAt" < '10000-01-01 00:00:00' THEN to_char(c0."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || c0."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(c0."managerId"::text, 'null') || ',"active":') || (coalesce(c0."active"::text, 'null') || '}')))) AS j
FROM "public"."User" AS c0 WHERE c0."id" = p."userId") AS e0 ON true
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM "public"."Comment" AS c1 WHERE c1."postId" = p."id" OFFSET 100) AS more FROM (SELECT ((('{"id":' || c1."id"::text) || (',"postId":' || (coalesce(c1."postId"::text, 'null') || ',"userId":'))) || ((coalesce(c1."userId"::text, 'null') || (',"text":' || coalesce(to_json(c1."text")::text, 'null'))) || (',"visible":' || (coalesce(c1."visible"::text, 'null') || '}')))) AS j
FROM "public"."Comment" AS c1 WHERE c1."postId" = p."id" ORDER BY c1."id" LIMIT 100) AS x) AS e1 ON true
ORDER BY p."id"));

-- comments?postId=eq.1 primary placed
-- values: "1"
SELECT CASE WHEN pg_is_in_recovery() THEN concat_ws(' ', (pg_last_wal_replay_lsn() + 1 - '0/0')::bigint, 0, 0, pgfanout.source()) ELSE (pg_current_wal_insert_lsn() - '0/0')::bigint::text END, NULL
UNION ALL
(SELECT ((('{"id":' || p."id"::text) || (',"postId":' || (coalesce(p."postId"::text, 'null') || ',"userId":'))) || ((coalesce(p."userId"::text, 'null') || (',"text":' || coalesce(to_json(p."text")::text, 'null'))) || (',"visible":' || (coalesce(p."visible"::text, 'null') || '}')))),
	p."id"::bigint
FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 3 AND t.shape = 103 AND t.relation = '"public"."Comment"'::regclass) THEN true ELSE pgfanout.readable(3, 103, '"public"."Comment"'::regclass) END AND p."postId" = $1::integer
ORDER BY p."id"
LIMIT $2::bigint);

