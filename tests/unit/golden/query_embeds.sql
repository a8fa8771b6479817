-- posts?limit=50&embed=comments setting users!userId,categories
-- values:
SELECT (((('{"id":' || (p."id"::text || ',"title":')) || (coalesce(to_json(p."title")::text, 'null') || (',"published":' || coalesce(p."published"::text, 'null')))) || ((',"userId":' || (coalesce(p."userId"::text, 'null') || ',"editorId":')) || ((coalesce(p."editorId"::text, 'null') || ',"categoryId":') || (coalesce(p."categoryId"::text, 'null') || ',"createdAt":')))) || (((CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || (',"rating":' || CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END)) || (coalesce(',"meta":' || p."meta"::text, '') || (',"users":' || coalesce(e0.j, 'null')))) || ((',"categories":' || (coalesce(e1.j, 'null') || ',"comments":[')) || ((coalesce(e2.j, '') || ']') || (CASE WHEN e2.more THEN ',"commentsTruncated":true' ELSE '' END || '}'))))),
	p."id"::bigint,
	p."userId" IS NOT NULL AND e0.j IS NULL OR p."categoryId" IS NOT NULL AND e1.j IS NULL
FROM (SELECT p.* FROM "public"."Post" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT ((('{"id":' || (c0."id"::text || ',"email":')) || (coalesce(to_json(c0."email")::text, 'null') || (',"name":' || coalesce(to_json(c0."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00' AND c0."createdAt" < '10000-01-01 00:00:00' THEN to_char(c0."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || c0."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(c0."managerId"::text, 'null') || ',"active":') || (coalesce(c0."active"::text, 'null') || '}')))) AS j
FROM "public"."User" AS c0 WHERE c0."id" = p."userId") AS e0 ON true
LEFT JOIN LATERAL (SELECT (('{"id":' || (c1."id"::text || ',"name":')) || ((coalesce(to_json(c1."name")::text, 'null') || ',"parentId":') || (coalesce(c1."parentId"::text, 'null') || '}'))) AS j
FROM "public"."categories" AS c1 WHERE c1."id" = p."categoryId") AS e1 ON true
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM "public"."Comment" AS c2 WHERE c2."postId" = p."id" OFFSET 100) AS more FROM (SELECT ((('{"id":' || c2."id"::text) || (',"postId":' || (coalesce(c2."postId"::text, 'null') || ',"userId":'))) || ((coalesce(c2."userId"::text, 'null') || (',"text":' || coalesce(to_json(c2."text")::text, 'null'))) || (',"visible":' || (coalesce(c2."visible"::text, 'null') || '}')))) AS j
FROM "public"."Comment" AS c2 WHERE c2."postId" = p."id" ORDER BY c2."id" LIMIT 100) AS x) AS e2 ON true
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 4 AND t.shape = 104 AND t.relation = '"public"."categories"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 3 AND t.shape = 103 AND t.relation = '"public"."Comment"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) AND pgfanout.readable(1, 101, '"public"."User"'::regclass) AND pgfanout.readable(4, 104, '"public"."categories"'::regclass) AND pgfanout.readable(3, 103, '"public"."Comment"'::regclass) END
ORDER BY p."id";

-- users?embed=posts!userId.comments,users!managerId,profiles,users!managerId.profiles primary
-- values:
SELECT (((('{"id":' || p."id"::text) || (',"email":' || (coalesce(to_json(p."email")::text, 'null') || ',"name":'))) || ((coalesce(to_json(p."name")::text, 'null') || ',"createdAt":') || (CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || (',"managerId":' || coalesce(p."managerId"::text, 'null'))))) || (((',"active":' || coalesce(p."active"::text, 'null')) || (',"posts":[' || (coalesce(e0.j, '') || ']'))) || ((CASE WHEN e0.more THEN ',"postsTruncated":true' ELSE '' END || (',"users":' || coalesce(e2.j, 'null'))) || (',"profiles":' || (coalesce(e3.j, 'null') || '}'))))),
	p."id"::bigint,
	p."managerId" IS NOT NULL AND e2.j IS NULL
FROM (SELECT p.* FROM "public"."User" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM "public"."Post" AS c0 WHERE c0."userId" = p."id" OFFSET 100) AS more FROM (SELECT (((('{"id":' || c0."id"::text) || (',"title":' || (coalesce(to_json(c0."title")::text, 'null') || ',"published":'))) || ((coalesce(c0."published"::text, 'null') || (',"userId":' || coalesce(c0."userId"::text, 'null'))) || (',"editorId":' || (coalesce(c0."editorId"::text, 'null') || ',"categoryId":')))) || (((coalesce(c0."categoryId"::text, 'null') || ',"createdAt":') || (CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00Z' AND c0."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(c0."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || c0."createdAt"::text || '"', 'null') END || (',"rating":' || CASE WHEN c0."rating" <> 'NaN' THEN c0."rating"::text ELSE coalesce(to_json(c0."rating")::text, 'null') END))) || ((coalesce(',"meta":' || c0."meta"::text, '') || (',"comments":[' || coalesce(e1.j, ''))) || (']' || (CASE WHEN e1.more THEN ',"commentsTruncated":true' ELSE '' END || '}'))))) AS j
FROM (SELECT c0.* FROM "public"."Post" AS c0 WHERE c0."userId" = p."id" ORDER BY c0."id" LIMIT 100) AS c0
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS c1 WHERE c1."postId" = c0."id" OFFSET 100) AS more FROM (SELECT ((('{"id":' || c1."id"::text) || (',"postId":' || (coalesce(c1."postId"::text, 'null') || ',"userId":'))) || ((coalesce(c1."userId"::text, 'null') || (',"text":' || coalesce(to_json(c1."text")::text, 'null'))) || (',"visible":' || (coalesce(c1."visible"::text, 'null') || '}')))) AS j
FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS c1 WHERE c1."postId" = c0."id" ORDER BY c1."id" LIMIT 100) AS x) AS e1 ON true ORDER BY c0."id") AS x) AS e0 ON true
LEFT JOIN LATERAL (SELECT ((('{"id":' || (c2."id"::text || ',"email":')) || ((coalesce(to_json(c2."email")::text, 'null') || ',"name":') || (coalesce(to_json(c2."name")::text, 'null') || ',"createdAt":'))) || (((CASE WHEN c2."createdAt" >= '0001-01-01 00:00:00' AND c2."createdAt" < '10000-01-01 00:00:00' THEN to_char(c2."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || c2."createdAt"::text || '"', 'null') END || ',"managerId":') || (coalesce(c2."managerId"::text, 'null') || ',"active":')) || ((coalesce(c2."active"::text, 'null') || ',"profiles":') || (coalesce(e4.j, 'null') || '}')))) AS j
FROM "public"."User" AS c2
LEFT JOIN LATERAL (SELECT (('{"id":"' || (c4."id"::text || '","userId":')) || ((coalesce(c4."userId"::text, 'null') || ',"bio":') || (coalesce(to_json(c4."bio")::text, 'null') || '}'))) AS j
FROM "public"."profiles" AS c4 WHERE c4."userId" = c2."id" LIMIT 1) AS e4 ON true WHERE c2."id" = p."managerId") AS e2 ON true
LEFT JOIN LATERAL (SELECT (('{"id":"' || (c3."id"::text || '","userId":')) || ((coalesce(c3."userId"::text, 'null') || ',"bio":') || (coalesce(to_json(c3."bio")::text, 'null') || '}'))) AS j
FROM "public"."profiles" AS c3 WHERE c3."userId" = p."id" LIMIT 1) AS e3 ON true
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 3 AND t.shape = 103 AND t.relation = '"public"."Comment"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 7 AND t.shape = 107 AND t.relation = '"public"."profiles"'::regclass) THEN true ELSE pgfanout.readable(1, 101, '"public"."User"'::regclass) AND pgfanout.readable(2, 102, '"public"."Post"'::regclass) AND pgfanout.readable(3, 103, '"public"."Comment"'::regclass) AND pgfanout.readable(7, 107, '"public"."profiles"'::regclass) END
ORDER BY p."id";

-- posts?embed=users!editorId,comments.users&select=meta,id
-- values:
SELECT ((('{' || coalesce('"meta":' || p."meta"::text || ',', '')) || ('"id":' || (p."id"::text || ',"users":'))) || ((coalesce(e0.j, 'null') || (',"comments":[' || coalesce(e1.j, ''))) || (']' || (CASE WHEN e1.more THEN ',"commentsTruncated":true' ELSE '' END || '}')))),
	p."id"::bigint,
	p."editorId" IS NOT NULL AND e0.j IS NULL OR e1.m IS TRUE
FROM (SELECT p.* FROM "public"."Post" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT ((('{"id":' || (c0."id"::text || ',"email":')) || (coalesce(to_json(c0."email")::text, 'null') || (',"name":' || coalesce(to_json(c0."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00' AND c0."createdAt" < '10000-01-01 00:00:00' THEN to_char(c0."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || c0."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(c0."managerId"::text, 'null') || ',"active":') || (coalesce(c0."active"::text, 'null') || '}')))) AS j
FROM "public"."User" AS c0 WHERE c0."id" = p."editorId") AS e0 ON true
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM "public"."Comment" AS c1 WHERE c1."postId" = p."id" OFFSET 100) AS more, bool_or(x.m) AS m FROM (SELECT ((('{"id":' || (c1."id"::text || ',"postId":')) || (coalesce(c1."postId"::text, 'null') || (',"userId":' || coalesce(c1."userId"::text, 'null')))) || ((',"text":' || (coalesce(to_json(c1."text")::text, 'null') || ',"visible":')) || ((coalesce(c1."visible"::text, 'null') || ',"users":') || (coalesce(e2.j, 'null') || '}')))) AS j, c1."userId" IS NOT NULL AND e2.j IS NULL AS m
FROM (SELECT c1.* FROM "public"."Comment" AS c1 WHERE c1."postId" = p."id" ORDER BY c1."id" LIMIT 100) AS c1
LEFT JOIN LATERAL (SELECT ((('{"id":' || (c2."id"::text || ',"email":')) || (coalesce(to_json(c2."email")::text, 'null') || (',"name":' || coalesce(to_json(c2."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN c2."createdAt" >= '0001-01-01 00:00:00' AND c2."createdAt" < '10000-01-01 00:00:00' THEN to_char(c2."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || c2."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(c2."managerId"::text, 'null') || ',"active":') || (coalesce(c2."active"::text, 'null') || '}')))) AS j
FROM "public"."User" AS c2 WHERE c2."id" = c1."userId") AS e2 ON true ORDER BY c1."id") AS x) AS e1 ON true
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 3 AND t.shape = 103 AND t.relation = '"public"."Comment"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) AND pgfanout.readable(1, 101, '"public"."User"'::regclass) AND pgfanout.readable(3, 103, '"public"."Comment"'::regclass) END
ORDER BY p."id";

-- categories?embed=categories.categories
-- values:
SELECT ((('{"id":' || p."id"::text) || (',"name":' || (coalesce(to_json(p."name")::text, 'null') || ',"parentId":'))) || ((coalesce(p."parentId"::text, 'null') || (',"categories":[' || coalesce(e0.j, ''))) || (']' || (CASE WHEN e0.more THEN ',"categoriesTruncated":true' ELSE '' END || '}')))),
	p."id"::bigint
FROM (SELECT p.* FROM "public"."categories" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM "public"."categories" AS c0 WHERE c0."parentId" = p."id" OFFSET 100) AS more FROM (SELECT ((('{"id":' || c0."id"::text) || (',"name":' || (coalesce(to_json(c0."name")::text, 'null') || ',"parentId":'))) || ((coalesce(c0."parentId"::text, 'null') || (',"categories":[' || coalesce(e1.j, ''))) || (']' || (CASE WHEN e1.more THEN ',"categoriesTruncated":true' ELSE '' END || '}')))) AS j
FROM (SELECT c0.* FROM "public"."categories" AS c0 WHERE c0."parentId" = p."id" ORDER BY c0."id" LIMIT 100) AS c0
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM "public"."categories" AS c1 WHERE c1."parentId" = c0."id" OFFSET 100) AS more FROM (SELECT (('{"id":' || (c1."id"::text || ',"name":')) || ((coalesce(to_json(c1."name")::text, 'null') || ',"parentId":') || (coalesce(c1."parentId"::text, 'null') || '}'))) AS j
FROM "public"."categories" AS c1 WHERE c1."parentId" = c0."id" ORDER BY c1."id" LIMIT 100) AS x) AS e1 ON true ORDER BY c0."id") AS x) AS e0 ON true
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 4 AND t.shape = 104 AND t.relation = '"public"."categories"'::regclass) THEN true ELSE pgfanout.readable(4, 104, '"public"."categories"'::regclass) END
ORDER BY p."id";

-- posts?select=meta&embed=tags
-- values:
SELECT (('{' || (coalesce('"meta":' || p."meta"::text || ',', '') || '"tags":[')) || ((coalesce(e0.j, '') || ']') || (CASE WHEN e0.more THEN ',"tagsTruncated":true' ELSE '' END || '}'))),
	p."id"::bigint
FROM (SELECT p.* FROM "public"."Post" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM "public"."tags" AS c0 WHERE c0."post" = p."id" OFFSET 100) AS more FROM (SELECT (('{"tag":' || (to_json(c0."tag")::text || ',"line":')) || ((CASE WHEN c0."line" IS DISTINCT FROM NULL THEN to_json(concat(c0."line"))::text ELSE 'null' END || ',"post":') || (coalesce(c0."post"::text, 'null') || '}'))) AS j
FROM "public"."tags" AS c0 WHERE c0."post" = p."id" ORDER BY c0."tag" LIMIT 100) AS x) AS e0 ON true
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 6 AND t.shape = 106 AND t.relation = '"public"."tags"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) AND pgfanout.readable(6, 106, '"public"."tags"'::regclass) END
ORDER BY p."id";

-- posts?select=id&embed=users!editorId setting users!userId
-- values:
SELECT (('{"id":' || (p."id"::text || ',"users!userId":')) || ((coalesce(e0.j, 'null') || ',"users!editorId":') || (coalesce(e1.j, 'null') || '}'))),
	p."id"::bigint,
	p."userId" IS NOT NULL AND e0.j IS NULL OR p."editorId" IS NOT NULL AND e1.j IS NULL
FROM (SELECT p.* FROM "public"."Post" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT ((('{"id":' || (c0."id"::text || ',"email":')) || (coalesce(to_json(c0."email")::text, 'null') || (',"name":' || coalesce(to_json(c0."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00' AND c0."createdAt" < '10000-01-01 00:00:00' THEN to_char(c0."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || c0."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(c0."managerId"::text, 'null') || ',"active":') || (coalesce(c0."active"::text, 'null') || '}')))) AS j
FROM "public"."User" AS c0 WHERE c0."id" = p."userId") AS e0 ON true
LEFT JOIN LATERAL (SELECT ((('{"id":' || (c1."id"::text || ',"email":')) || (coalesce(to_json(c1."email")::text, 'null') || (',"name":' || coalesce(to_json(c1."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN c1."createdAt" >= '0001-01-01 00:00:00' AND c1."createdAt" < '10000-01-01 00:00:00' THEN to_char(c1."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || c1."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(c1."managerId"::text, 'null') || ',"active":') || (coalesce(c1."active"::text, 'null') || '}')))) AS j
FROM "public"."User" AS c1 WHERE c1."id" = p."editorId") AS e1 ON true
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) AND pgfanout.readable(1, 101, '"public"."User"'::regclass) END
ORDER BY p."id";

-- users?select=id&embed=posts!userId,posts!editorId.comments.users
-- values:
SELECT ((('{"id":' || p."id"::text) || (',"posts!userId":[' || (coalesce(e0.j, '') || ']'))) || ((CASE WHEN e0.more THEN ',"posts!userIdTruncated":true' ELSE '' END || (',"posts!editorId":[' || coalesce(e1.j, ''))) || (']' || (CASE WHEN e1.more THEN ',"posts!editorIdTruncated":true' ELSE '' END || '}')))),
	p."id"::bigint,
	e1.m IS TRUE
FROM (SELECT p.* FROM "public"."User" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM "public"."Post" AS c0 WHERE c0."userId" = p."id" OFFSET 100) AS more FROM (SELECT (((('{"id":' || c0."id"::text) || (',"title":' || coalesce(to_json(c0."title")::text, 'null'))) || ((',"published":' || coalesce(c0."published"::text, 'null')) || (',"userId":' || (coalesce(c0."userId"::text, 'null') || ',"editorId":')))) || (((coalesce(c0."editorId"::text, 'null') || ',"categoryId":') || (coalesce(c0."categoryId"::text, 'null') || ',"createdAt":')) || ((CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00Z' AND c0."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(c0."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || c0."createdAt"::text || '"', 'null') END || ',"rating":') || (CASE WHEN c0."rating" <> 'NaN' THEN c0."rating"::text ELSE coalesce(to_json(c0."rating")::text, 'null') END || (coalesce(',"meta":' || c0."meta"::text, '') || '}'))))) AS j
FROM "public"."Post" AS c0 WHERE c0."userId" = p."id" ORDER BY c0."id" LIMIT 100) AS x) AS e0 ON true
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM "public"."Post" AS c1 WHERE c1."editorId" = p."id" OFFSET 100) AS more, bool_or(x.m) AS m FROM (SELECT (((('{"id":' || c1."id"::text) || (',"title":' || (coalesce(to_json(c1."title")::text, 'null') || ',"published":'))) || ((coalesce(c1."published"::text, 'null') || (',"userId":' || coalesce(c1."userId"::text, 'null'))) || (',"editorId":' || (coalesce(c1."editorId"::text, 'null') || ',"categoryId":')))) || (((coalesce(c1."categoryId"::text, 'null') || ',"createdAt":') || (CASE WHEN c1."createdAt" >= '0001-01-01 00:00:00Z' AND c1."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(c1."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || c1."createdAt"::text || '"', 'null') END || (',"rating":' || CASE WHEN c1."rating" <> 'NaN' THEN c1."rating"::text ELSE coalesce(to_json(c1."rating")::text, 'null') END))) || ((coalesce(',"meta":' || c1."meta"::text, '') || (',"comments":[' || coalesce(e2.j, ''))) || (']' || (CASE WHEN e2.more THEN ',"commentsTruncated":true' ELSE '' END || '}'))))) AS j, e2.m IS TRUE AS m
FROM (SELECT c1.* FROM "public"."Post" AS c1 WHERE c1."editorId" = p."id" ORDER BY c1."id" LIMIT 100) AS c1
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM "public"."Comment" AS c2 WHERE c2."postId" = c1."id" OFFSET 100) AS more, bool_or(x.m) AS m FROM (SELECT ((('{"id":' || (c2."id"::text || ',"postId":')) || (coalesce(c2."postId"::text, 'null') || (',"userId":' || coalesce(c2."userId"::text, 'null')))) || ((',"text":' || (coalesce(to_json(c2."text")::text, 'null') || ',"visible":')) || ((coalesce(c2."visible"::text, 'null') || ',"users":') || (coalesce(e3.j, 'null') || '}')))) AS j, c2."userId" IS NOT NULL AND e3.j IS NULL AS m
FROM (SELECT c2.* FROM "public"."Comment" AS c2 WHERE c2."postId" = c1."id" ORDER BY c2."id" LIMIT 100) AS c2
LEFT JOIN LATERAL (SELECT ((('{"id":' || (c3."id"::text || ',"email":')) || (coalesce(to_json(c3."email")::text, 'null') || (',"name":' || coalesce(to_json(c3."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN c3."createdAt" >= '0001-01-01 00:00:00' AND c3."createdAt" < '10000-01-01 00:00:00' THEN to_char(c3."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || c3."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(c3."managerId"::text, 'null') || ',"active":') || (coalesce(c3."active"::text, 'null') || '}')))) AS j
FROM "public"."User" AS c3 WHERE c3."id" = c2."userId") AS e3 ON true ORDER BY c2."id") AS x) AS e2 ON true ORDER BY c1."id") AS x) AS e1 ON true
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 3 AND t.shape = 103 AND t.relation = '"public"."Comment"'::regclass) THEN true ELSE pgfanout.readable(1, 101, '"public"."User"'::regclass) AND pgfanout.readable(2, 102, '"public"."Post"'::regclass) AND pgfanout.readable(3, 103, '"public"."Comment"'::regclass) END
ORDER BY p."id";

-- users?select=id&embed=users,users!managerId
-- values:
SELECT ((('{"id":' || p."id"::text) || (',"users":[' || coalesce(e0.j, ''))) || ((']' || CASE WHEN e0.more THEN ',"usersTruncated":true' ELSE '' END) || (',"users!managerId":' || (coalesce(e1.j, 'null') || '}')))),
	p."id"::bigint,
	p."managerId" IS NOT NULL AND e1.j IS NULL
FROM (SELECT p.* FROM "public"."User" AS p
ORDER BY p."id"
LIMIT $1::bigint) AS p
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM "public"."User" AS c0 WHERE c0."managerId" = p."id" OFFSET 100) AS more FROM (SELECT ((('{"id":' || (c0."id"::text || ',"email":')) || (coalesce(to_json(c0."email")::text, 'null') || (',"name":' || coalesce(to_json(c0."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00' AND c0."createdAt" < '10000-01-01 00:00:00' THEN to_char(c0."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || c0."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(c0."managerId"::text, 'null') || ',"active":') || (coalesce(c0."active"::text, 'null') || '}')))) AS j
FROM "public"."User" AS c0 WHERE c0."managerId" = p."id" ORDER BY c0."id" LIMIT 100) AS x) AS e0 ON true
LEFT JOIN LATERAL (SELECT ((('{"id":' || (c1."id"::text || ',"email":')) || (coalesce(to_json(c1."email")::text, 'null') || (',"name":' || coalesce(to_json(c1."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN c1."createdAt" >= '0001-01-01 00:00:00' AND c1."createdAt" < '10000-01-01 00:00:00' THEN to_char(c1."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || c1."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(c1."managerId"::text, 'null') || ',"active":') || (coalesce(c1."active"::text, 'null') || '}')))) AS j
FROM "public"."User" AS c1 WHERE c1."id" = p."managerId") AS e1 ON true
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) THEN true ELSE pgfanout.readable(1, 101, '"public"."User"'::regclass) END
ORDER BY p."id";

