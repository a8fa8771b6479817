-- posts?count=exact&userId=eq.1
-- values: "1"
SELECT (SELECT count(*) FROM "public"."Post" AS p
WHERE p."userId" = $1::integer)::text, NULL
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) END
UNION ALL
(SELECT (((('{"id":' || p."id"::text) || (',"title":' || coalesce(to_json(p."title")::text, 'null'))) || ((',"published":' || coalesce(p."published"::text, 'null')) || (',"userId":' || (coalesce(p."userId"::text, 'null') || ',"editorId":')))) || (((coalesce(p."editorId"::text, 'null') || ',"categoryId":') || (coalesce(p."categoryId"::text, 'null') || ',"createdAt":')) || ((CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"rating":') || (CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END || (coalesce(',"meta":' || p."meta"::text, '') || '}'))))),
	p."id"::bigint
FROM "public"."Post" AS p
WHERE p."userId" = $1::integer
ORDER BY p."id"
LIMIT $2::bigint);

-- posts?count=estimated
-- values:
SELECT (SELECT CASE WHEN t.n > 10000 THEN t.n ELSE (SELECT count(*) AS n FROM (SELECT FROM "public"."Post" AS p LIMIT 10001) AS c) END FROM (SELECT coalesce(sum(r.reltuples), 0)::bigint AS n
	FROM (SELECT '"public"."Post"'::regclass AS t) AS t,
		unnest(t.t || ARRAY(SELECT l.relid FROM pg_partition_tree(t.t) AS l WHERE l.isleaf)) AS u
	JOIN pg_class AS r ON r.oid = u WHERE r.reltuples > 0 AND r.relkind <> 'p') AS t)::text, NULL
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) END
UNION ALL
(SELECT (((('{"id":' || p."id"::text) || (',"title":' || coalesce(to_json(p."title")::text, 'null'))) || ((',"published":' || coalesce(p."published"::text, 'null')) || (',"userId":' || (coalesce(p."userId"::text, 'null') || ',"editorId":')))) || (((coalesce(p."editorId"::text, 'null') || ',"categoryId":') || (coalesce(p."categoryId"::text, 'null') || ',"createdAt":')) || ((CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"rating":') || (CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END || (coalesce(',"meta":' || p."meta"::text, '') || '}'))))),
	p."id"::bigint
FROM "public"."Post" AS p
ORDER BY p."id"
LIMIT $1::bigint);

-- posts?count=estimated&userId=eq.1&embed=comments
-- values: "1"
SELECT (SELECT CASE WHEN c.n > 10000 THEN greatest(c.n, (SELECT coalesce(sum(r.reltuples), 0)::bigint AS n
	FROM (SELECT '"public"."Post"'::regclass AS t) AS t,
		unnest(t.t || ARRAY(SELECT l.relid FROM pg_partition_tree(t.t) AS l WHERE l.isleaf)) AS u
	JOIN pg_class AS r ON r.oid = u WHERE r.reltuples > 0 AND r.relkind <> 'p')) ELSE c.n END FROM (SELECT count(*) AS n FROM (SELECT FROM "public"."Post" AS p
WHERE p."userId" = $1::integer LIMIT 10001) AS c) AS c)::text, NULL
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 3 AND t.shape = 103 AND t.relation = '"public"."Comment"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) AND pgfanout.readable(3, 103, '"public"."Comment"'::regclass) END
UNION ALL
(SELECT (((('{"id":' || p."id"::text) || (',"title":' || (coalesce(to_json(p."title")::text, 'null') || ',"published":'))) || ((coalesce(p."published"::text, 'null') || (',"userId":' || coalesce(p."userId"::text, 'null'))) || (',"editorId":' || (coalesce(p."editorId"::text, 'null') || ',"categoryId":')))) || (((coalesce(p."categoryId"::text, 'null') || ',"createdAt":') || (CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || (',"rating":' || CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END))) || ((coalesce(',"meta":' || p."meta"::text, '') || (',"comments":[' || coalesce(e0.j, ''))) || (']' || (CASE WHEN e0.more THEN ',"commentsTruncated":true' ELSE '' END || '}'))))),
	p."id"::bigint
FROM (SELECT p.* FROM "public"."Post" AS p
WHERE p."userId" = $1::integer
ORDER BY p."id"
LIMIT $2::bigint) AS p
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM "public"."Comment" AS c0 WHERE c0."postId" = p."id" OFFSET 100) AS more FROM (SELECT ((('{"id":' || c0."id"::text) || (',"postId":' || (coalesce(c0."postId"::text, 'null') || ',"userId":'))) || ((coalesce(c0."userId"::text, 'null') || (',"text":' || coalesce(to_json(c0."text")::text, 'null'))) || (',"visible":' || (coalesce(c0."visible"::text, 'null') || '}')))) AS j
FROM "public"."Comment" AS c0 WHERE c0."postId" = p."id" ORDER BY c0."id" LIMIT 100) AS x) AS e0 ON true
ORDER BY p."id");

-- comments?count=estimated primary
-- values:
SELECT (SELECT CASE WHEN c.n > 10000 THEN greatest(c.n, (SELECT coalesce(sum(r.reltuples), 0)::bigint AS n
	FROM (SELECT '"public"."Comment"'::regclass AS t) AS t,
		unnest(t.t || ARRAY(SELECT l.relid FROM pg_partition_tree(t.t) AS l WHERE l.isleaf)) AS u
	JOIN pg_class AS r ON r.oid = u WHERE r.reltuples > 0 AND r.relkind <> 'p')) ELSE c.n END FROM (SELECT count(*) AS n FROM (SELECT FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS p LIMIT 10001) AS c) AS c)::text, NULL
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 3 AND t.shape = 103 AND t.relation = '"public"."Comment"'::regclass) THEN true ELSE pgfanout.readable(3, 103, '"public"."Comment"'::regclass) END
UNION ALL
(SELECT ((('{"id":' || p."id"::text) || (',"postId":' || (coalesce(p."postId"::text, 'null') || ',"userId":'))) || ((coalesce(p."userId"::text, 'null') || (',"text":' || coalesce(to_json(p."text")::text, 'null'))) || (',"visible":' || (coalesce(p."visible"::text, 'null') || '}')))),
	p."id"::bigint
FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS p
ORDER BY p."id"
LIMIT $1::bigint);

