-- posts?count=exact&userId=eq.1
-- values: "1"
SELECT NULL::text, NULL::text, false, (SELECT count(*) FROM "public"."Post" AS p
WHERE p."userId" = $1::integer)
WHERE pgfanout.readable(2, 102)
UNION ALL
(SELECT concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, '}'),
	concat('[', '"', p."id", '"', ']'),
	false,
	NULL::bigint
FROM "public"."Post" AS p
WHERE p."userId" = $1::integer
ORDER BY p."id"
LIMIT $2::bigint);

-- posts?count=estimated
-- values:
SELECT NULL::text, NULL::text, false, (SELECT CASE WHEN t.n > 10000 THEN t.n ELSE (SELECT count(*) AS n FROM (SELECT FROM "public"."Post" AS p LIMIT 10001) AS c) END FROM (SELECT coalesce(sum(r.reltuples), 0)::bigint AS n
	FROM (SELECT '"public"."Post"'::regclass AS t) AS t,
		unnest(t.t || ARRAY(SELECT l.relid FROM pg_partition_tree(t.t) AS l WHERE l.isleaf)) AS u
	JOIN pg_class AS r ON r.oid = u WHERE r.reltuples > 0 AND r.relkind <> 'p') AS t)
WHERE pgfanout.readable(2, 102)
UNION ALL
(SELECT concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, '}'),
	concat('[', '"', p."id", '"', ']'),
	false,
	NULL::bigint
FROM "public"."Post" AS p
ORDER BY p."id"
LIMIT $1::bigint);

-- posts?count=estimated&userId=eq.1&embed=comments
-- values: "1"
SELECT NULL::text, NULL::text, false, (SELECT CASE WHEN c.n > 10000 THEN greatest(c.n, (SELECT coalesce(sum(r.reltuples), 0)::bigint AS n
	FROM (SELECT '"public"."Post"'::regclass AS t) AS t,
		unnest(t.t || ARRAY(SELECT l.relid FROM pg_partition_tree(t.t) AS l WHERE l.isleaf)) AS u
	JOIN pg_class AS r ON r.oid = u WHERE r.reltuples > 0 AND r.relkind <> 'p')) ELSE c.n END FROM (SELECT count(*) AS n FROM (SELECT FROM "public"."Post" AS p
WHERE p."userId" = $1::integer LIMIT 10001) AS c) AS c)
WHERE pgfanout.readable(2, 102) AND pgfanout.readable(3, 103)
UNION ALL
(SELECT concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, ',"comments":[', array_to_string(CASE WHEN cardinality(e0.j) > 100 THEN e0.j[1:100] ELSE e0.j END, ','), ']', CASE WHEN cardinality(e0.j) > 100 THEN ',"commentsTruncated":true' END, '}'),
	concat('[', '"', p."id", '"', ']'),
	false,
	NULL::bigint
FROM (SELECT p.* FROM "public"."Post" AS p
WHERE p."userId" = $1::integer
ORDER BY p."id"
LIMIT $2::bigint) AS p
LEFT JOIN LATERAL (SELECT array_agg(x.j) AS j FROM (SELECT concat('{"id":', c0."id", ',"postId":', coalesce(c0."postId"::text, 'null'), ',"userId":', coalesce(c0."userId"::text, 'null'), ',"text":', coalesce(to_json(c0."text"), 'null'), ',"visible":', coalesce(c0."visible"::text, 'null'), '}') AS j
FROM "public"."Comment" AS c0 WHERE c0."postId" = p."id" ORDER BY c0."id" LIMIT 101) AS x) AS e0 ON true
ORDER BY p."id");

-- comments?count=estimated primary
-- values:
SELECT NULL::text, NULL::text, false, (SELECT CASE WHEN c.n > 10000 THEN greatest(c.n, (SELECT coalesce(sum(r.reltuples), 0)::bigint AS n
	FROM (SELECT '"public"."Comment"'::regclass AS t) AS t,
		unnest(t.t || ARRAY(SELECT l.relid FROM pg_partition_tree(t.t) AS l WHERE l.isleaf)) AS u
	JOIN pg_class AS r ON r.oid = u WHERE r.reltuples > 0 AND r.relkind <> 'p')) ELSE c.n END FROM (SELECT count(*) AS n FROM (SELECT FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS p LIMIT 10001) AS c) AS c)
WHERE pgfanout.readable(3, 103)
UNION ALL
(SELECT concat('{"id":', p."id", ',"postId":', coalesce(p."postId"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"text":', coalesce(to_json(p."text"), 'null'), ',"visible":', coalesce(p."visible"::text, 'null'), '}'),
	concat('[', '"', p."id", '"', ']'),
	false,
	NULL::bigint
FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS p
ORDER BY p."id"
LIMIT $1::bigint);

