-- posts?limit=50&embed=comments setting users!userId,categories
-- values:
SELECT concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, ',"users":', coalesce(e0.j, 'null'), ',"categories":', coalesce(e1.j, 'null'), ',"comments":[', array_to_string(CASE WHEN cardinality(e2.j) > 100 THEN e2.j[1:100] ELSE e2.j END, ','), ']', CASE WHEN cardinality(e2.j) > 100 THEN ',"commentsTruncated":true' END, '}'),
	concat('[', '"', p."id", '"', ']'),
	p."userId" IS NOT NULL AND e0.j IS NULL OR p."categoryId" IS NOT NULL AND e1.j IS NULL
FROM (SELECT p.* FROM "public"."Post" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT concat('{"id":', c0."id", ',"email":', coalesce(to_json(c0."email"), 'null'), ',"name":', coalesce(to_json(c0."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00' AND c0."createdAt" < '10000-01-01 00:00:00' THEN to_char(c0."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE c0."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(c0."managerId"::text, 'null'), ',"active":', coalesce(c0."active"::text, 'null'), '}') AS j
FROM "public"."User" AS c0 WHERE c0."id" = p."userId") AS e0 ON true
LEFT JOIN LATERAL (SELECT concat('{"id":', c1."id", ',"name":', coalesce(to_json(c1."name"), 'null'), ',"parentId":', coalesce(c1."parentId"::text, 'null'), '}') AS j
FROM "public"."categories" AS c1 WHERE c1."id" = p."categoryId") AS e1 ON true
LEFT JOIN LATERAL (SELECT array_agg(x.j) AS j FROM (SELECT concat('{"id":', c2."id", ',"postId":', coalesce(c2."postId"::text, 'null'), ',"userId":', coalesce(c2."userId"::text, 'null'), ',"text":', coalesce(to_json(c2."text"), 'null'), ',"visible":', coalesce(c2."visible"::text, 'null'), '}') AS j
FROM "public"."Comment" AS c2 WHERE c2."postId" = p."id" ORDER BY c2."id" LIMIT 101) AS x) AS e2 ON true
WHERE pgfanout.readable(2, 102) AND pgfanout.readable(1, 101) AND pgfanout.readable(4, 104) AND pgfanout.readable(3, 103)
ORDER BY p."id";

-- users?embed=posts!userId.comments,users!managerId,profiles,users!managerId.profiles primary
-- values:
SELECT concat('{"id":', p."id", ',"email":', coalesce(to_json(p."email"), 'null'), ',"name":', coalesce(to_json(p."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE p."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(p."managerId"::text, 'null'), ',"active":', coalesce(p."active"::text, 'null'), ',"posts":[', array_to_string(CASE WHEN cardinality(e0.j) > 100 THEN e0.j[1:100] ELSE e0.j END, ','), ']', CASE WHEN cardinality(e0.j) > 100 THEN ',"postsTruncated":true' END, ',"users":', coalesce(e2.j, 'null'), ',"profiles":', coalesce(e3.j, 'null'), '}'),
	concat('[', '"', p."id", '"', ']'),
	p."managerId" IS NOT NULL AND e2.j IS NULL
FROM (SELECT p.* FROM "public"."User" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT array_agg(x.j) AS j FROM (SELECT concat('{"id":', c0."id", ',"title":', coalesce(to_json(c0."title"), 'null'), ',"published":', coalesce(c0."published"::text, 'null'), ',"userId":', coalesce(c0."userId"::text, 'null'), ',"editorId":', coalesce(c0."editorId"::text, 'null'), ',"categoryId":', coalesce(c0."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00Z' AND c0."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(c0."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE c0."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(c0."rating"), 'null'), ',"meta":' || c0."meta"::text, ',"comments":[', array_to_string(CASE WHEN cardinality(e1.j) > 100 THEN e1.j[1:100] ELSE e1.j END, ','), ']', CASE WHEN cardinality(e1.j) > 100 THEN ',"commentsTruncated":true' END, '}') AS j
FROM (SELECT c0.* FROM "public"."Post" AS c0 WHERE c0."userId" = p."id" ORDER BY c0."id" LIMIT 101) AS c0
LEFT JOIN LATERAL (SELECT array_agg(x.j) AS j FROM (SELECT concat('{"id":', c1."id", ',"postId":', coalesce(c1."postId"::text, 'null'), ',"userId":', coalesce(c1."userId"::text, 'null'), ',"text":', coalesce(to_json(c1."text"), 'null'), ',"visible":', coalesce(c1."visible"::text, 'null'), '}') AS j
FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS c1 WHERE c1."postId" = c0."id" ORDER BY c1."id" LIMIT 101) AS x) AS e1 ON true ORDER BY c0."id") AS x) AS e0 ON true
LEFT JOIN LATERAL (SELECT concat('{"id":', c2."id", ',"email":', coalesce(to_json(c2."email"), 'null'), ',"name":', coalesce(to_json(c2."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN c2."createdAt" >= '0001-01-01 00:00:00' AND c2."createdAt" < '10000-01-01 00:00:00' THEN to_char(c2."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE c2."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(c2."managerId"::text, 'null'), ',"active":', coalesce(c2."active"::text, 'null'), ',"profiles":', coalesce(e4.j, 'null'), '}') AS j
FROM "public"."User" AS c2
LEFT JOIN LATERAL (SELECT concat('{"id":"', c4."id", '","userId":', coalesce(c4."userId"::text, 'null'), ',"bio":', coalesce(to_json(c4."bio"), 'null'), '}') AS j
FROM "public"."profiles" AS c4 WHERE c4."userId" = c2."id" LIMIT 1) AS e4 ON true WHERE c2."id" = p."managerId") AS e2 ON true
LEFT JOIN LATERAL (SELECT concat('{"id":"', c3."id", '","userId":', coalesce(c3."userId"::text, 'null'), ',"bio":', coalesce(to_json(c3."bio"), 'null'), '}') AS j
FROM "public"."profiles" AS c3 WHERE c3."userId" = p."id" LIMIT 1) AS e3 ON true
WHERE pgfanout.readable(1, 101) AND pgfanout.readable(2, 102) AND pgfanout.readable(3, 103) AND pgfanout.readable(7, 107)
ORDER BY p."id";

-- posts?embed=users!editorId,comments.users&select=meta,id
-- values:
SELECT concat('{', '"meta":' || p."meta"::text || ',', '"id":', p."id", ',"users":', coalesce(e0.j, 'null'), ',"comments":[', array_to_string(CASE WHEN cardinality(e1.j) > 100 THEN e1.j[1:100] ELSE e1.j END, ','), ']', CASE WHEN cardinality(e1.j) > 100 THEN ',"commentsTruncated":true' END, '}'),
	concat('[', '"', p."id", '"', ']'),
	p."editorId" IS NOT NULL AND e0.j IS NULL OR e1.m IS TRUE
FROM (SELECT p.* FROM "public"."Post" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT concat('{"id":', c0."id", ',"email":', coalesce(to_json(c0."email"), 'null'), ',"name":', coalesce(to_json(c0."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00' AND c0."createdAt" < '10000-01-01 00:00:00' THEN to_char(c0."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE c0."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(c0."managerId"::text, 'null'), ',"active":', coalesce(c0."active"::text, 'null'), '}') AS j
FROM "public"."User" AS c0 WHERE c0."id" = p."editorId") AS e0 ON true
LEFT JOIN LATERAL (SELECT array_agg(x.j) AS j, bool_or(x.m) AS m FROM (SELECT concat('{"id":', c1."id", ',"postId":', coalesce(c1."postId"::text, 'null'), ',"userId":', coalesce(c1."userId"::text, 'null'), ',"text":', coalesce(to_json(c1."text"), 'null'), ',"visible":', coalesce(c1."visible"::text, 'null'), ',"users":', coalesce(e2.j, 'null'), '}') AS j, c1."userId" IS NOT NULL AND e2.j IS NULL AS m
FROM (SELECT c1.* FROM "public"."Comment" AS c1 WHERE c1."postId" = p."id" ORDER BY c1."id" LIMIT 101) AS c1
LEFT JOIN LATERAL (SELECT concat('{"id":', c2."id", ',"email":', coalesce(to_json(c2."email"), 'null'), ',"name":', coalesce(to_json(c2."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN c2."createdAt" >= '0001-01-01 00:00:00' AND c2."createdAt" < '10000-01-01 00:00:00' THEN to_char(c2."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE c2."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(c2."managerId"::text, 'null'), ',"active":', coalesce(c2."active"::text, 'null'), '}') AS j
FROM "public"."User" AS c2 WHERE c2."id" = c1."userId") AS e2 ON true ORDER BY c1."id") AS x) AS e1 ON true
WHERE pgfanout.readable(2, 102) AND pgfanout.readable(1, 101) AND pgfanout.readable(3, 103)
ORDER BY p."id";

-- categories?embed=categories.categories
-- values:
SELECT concat('{"id":', p."id", ',"name":', coalesce(to_json(p."name"), 'null'), ',"parentId":', coalesce(p."parentId"::text, 'null'), ',"categories":[', array_to_string(CASE WHEN cardinality(e0.j) > 100 THEN e0.j[1:100] ELSE e0.j END, ','), ']', CASE WHEN cardinality(e0.j) > 100 THEN ',"categoriesTruncated":true' END, '}'),
	concat('[', '"', p."id", '"', ']'),
	false
FROM (SELECT p.* FROM "public"."categories" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT array_agg(x.j) AS j FROM (SELECT concat('{"id":', c0."id", ',"name":', coalesce(to_json(c0."name"), 'null'), ',"parentId":', coalesce(c0."parentId"::text, 'null'), ',"categories":[', array_to_string(CASE WHEN cardinality(e1.j) > 100 THEN e1.j[1:100] ELSE e1.j END, ','), ']', CASE WHEN cardinality(e1.j) > 100 THEN ',"categoriesTruncated":true' END, '}') AS j
FROM (SELECT c0.* FROM "public"."categories" AS c0 WHERE c0."parentId" = p."id" ORDER BY c0."id" LIMIT 101) AS c0
LEFT JOIN LATERAL (SELECT array_agg(x.j) AS j FROM (SELECT concat('{"id":', c1."id", ',"name":', coalesce(to_json(c1."name"), 'null'), ',"parentId":', coalesce(c1."parentId"::text, 'null'), '}') AS j
FROM "public"."categories" AS c1 WHERE c1."parentId" = c0."id" ORDER BY c1."id" LIMIT 101) AS x) AS e1 ON true ORDER BY c0."id") AS x) AS e0 ON true
WHERE pgfanout.readable(4, 104)
ORDER BY p."id";

-- posts?select=meta&embed=tags
-- values:
SELECT concat('{', '"meta":' || p."meta"::text || ',', '"tags":[', array_to_string(CASE WHEN cardinality(e0.j) > 100 THEN e0.j[1:100] ELSE e0.j END, ','), ']', CASE WHEN cardinality(e0.j) > 100 THEN ',"tagsTruncated":true' END, '}'),
	concat('[', '"', p."id", '"', ']'),
	false
FROM (SELECT p.* FROM "public"."Post" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT array_agg(x.j) AS j FROM (SELECT concat('{"tag":', to_json(c0."tag"), ',"line":', CASE WHEN c0."line" IS DISTINCT FROM NULL THEN to_json(concat(c0."line")) ELSE 'null' END, ',"post":', coalesce(c0."post"::text, 'null'), '}') AS j
FROM "public"."tags" AS c0 WHERE c0."post" = p."id" ORDER BY c0."tag" LIMIT 101) AS x) AS e0 ON true
WHERE pgfanout.readable(2, 102) AND pgfanout.readable(6, 106)
ORDER BY p."id";

