-- users?limit=2 cursor ["1"]
-- values: "1"
SELECT ((('{"id":' || (p."id"::text || ',"email":')) || (coalesce(to_json(p."email")::text, 'null') || (',"name":' || coalesce(to_json(p."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(p."managerId"::text, 'null') || ',"active":') || (coalesce(p."active"::text, 'null') || '}')))),
	p."id"::bigint
FROM "public"."User" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) THEN true ELSE pgfanout.readable(1, 101, '"public"."User"'::regclass) END AND (p."id") > ($1::integer)
ORDER BY p."id"
LIMIT $2::bigint;

-- users?order=-createdAt cursor ["2026-01-03 00:00:00","3"]
-- values: "2026-01-03 00:00:00" "3"
SELECT ((('{"id":' || (p."id"::text || ',"email":')) || (coalesce(to_json(p."email")::text, 'null') || (',"name":' || coalesce(to_json(p."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(p."managerId"::text, 'null') || ',"active":') || (coalesce(p."active"::text, 'null') || '}')))),
	p."createdAt"::text, p."id"::bigint
FROM "public"."User" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) THEN true ELSE pgfanout.readable(1, 101, '"public"."User"'::regclass) END AND (p."createdAt", p."id") < ($1::timestamp without time zone, $2::integer)
ORDER BY p."createdAt" DESC, p."id" DESC
LIMIT $3::bigint;

-- lines? cursor ["1","a","2026-01-01"]
-- values: "1" "a" "2026-01-01"
SELECT ((('{"amount":' || (coalesce(to_json(p."amount")::text, 'null') || ',"tenant":')) || (p."tenant"::text || (',"code":' || to_json(p."code")::text))) || ((',"day":"' || (p."day"::text || '","big":')) || ((coalesce(p."big"::text, 'null') || ',"id":') || (coalesce('"' || p."id"::text || '"', 'null') || '}')))),
	p."tenant"::bigint, p."code"::text, p."day"::text
FROM "public"."lines" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 5 AND t.shape = 105 AND t.relation = '"public"."lines"'::regclass) THEN true ELSE pgfanout.readable(5, 105, '"public"."lines"'::regclass) END AND (p."tenant", p."code", p."day") > ($1::integer, $2::bpchar, $3::date)
ORDER BY p."tenant", p."code", p."day"
LIMIT $4::bigint;

-- users?order=-createdAt,id cursor ["2026-01-03 00:00:00","3"]
-- values: "2026-01-03 00:00:00" "3"
SELECT ((('{"id":' || (p."id"::text || ',"email":')) || (coalesce(to_json(p."email")::text, 'null') || (',"name":' || coalesce(to_json(p."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(p."managerId"::text, 'null') || ',"active":') || (coalesce(p."active"::text, 'null') || '}')))),
	p."createdAt"::text, p."id"::bigint
FROM "public"."User" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) THEN true ELSE pgfanout.readable(1, 101, '"public"."User"'::regclass) END AND (p."createdAt" <= $1::timestamp without time zone AND (p."createdAt" < $1::timestamp without time zone OR (p."id" > $2::integer)))
ORDER BY p."createdAt" DESC, p."id"
LIMIT $3::bigint;

-- posts?order=rating cursor ["2.00","3"]
-- values: "2.00" "3"
SELECT (((('{"id":' || p."id"::text) || (',"title":' || coalesce(to_json(p."title")::text, 'null'))) || ((',"published":' || coalesce(p."published"::text, 'null')) || (',"userId":' || (coalesce(p."userId"::text, 'null') || ',"editorId":')))) || (((coalesce(p."editorId"::text, 'null') || ',"categoryId":') || (coalesce(p."categoryId"::text, 'null') || ',"createdAt":')) || ((CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"rating":') || (CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END || (coalesce(',"meta":' || p."meta"::text, '') || '}'))))),
	p."rating"::text, p."id"::bigint
FROM (SELECT p.* FROM ((SELECT p.* FROM "public"."Post" AS p
WHERE p."rating" >= $1::numeric AND (p."rating" > $1::numeric OR (p."id" > $2::integer))
ORDER BY p."rating", p."id"
LIMIT $3::bigint)
UNION ALL (SELECT p.* FROM "public"."Post" AS p
WHERE p."rating" IS NULL
ORDER BY p."rating", p."id"
LIMIT $3::bigint)) AS p
ORDER BY p."rating", p."id"
LIMIT $3::bigint) AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) END
ORDER BY p."rating", p."id";

-- posts?order=rating cursor [null,"3"]
-- values: "3"
SELECT (((('{"id":' || p."id"::text) || (',"title":' || coalesce(to_json(p."title")::text, 'null'))) || ((',"published":' || coalesce(p."published"::text, 'null')) || (',"userId":' || (coalesce(p."userId"::text, 'null') || ',"editorId":')))) || (((coalesce(p."editorId"::text, 'null') || ',"categoryId":') || (coalesce(p."categoryId"::text, 'null') || ',"createdAt":')) || ((CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"rating":') || (CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END || (coalesce(',"meta":' || p."meta"::text, '') || '}'))))),
	p."rating"::text, p."id"::bigint
FROM "public"."Post" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) END AND (p."rating" IS NULL AND (p."id" > $1::integer))
ORDER BY p."rating", p."id"
LIMIT $2::bigint;

-- posts?order=-rating cursor ["2.00","3"]
-- values: "2.00" "3"
SELECT (((('{"id":' || p."id"::text) || (',"title":' || coalesce(to_json(p."title")::text, 'null'))) || ((',"published":' || coalesce(p."published"::text, 'null')) || (',"userId":' || (coalesce(p."userId"::text, 'null') || ',"editorId":')))) || (((coalesce(p."editorId"::text, 'null') || ',"categoryId":') || (coalesce(p."categoryId"::text, 'null') || ',"createdAt":')) || ((CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"rating":') || (CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END || (coalesce(',"meta":' || p."meta"::text, '') || '}'))))),
	p."rating"::text, p."id"::bigint
FROM "public"."Post" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) END AND (p."rating" <= $1::numeric AND (p."rating" < $1::numeric OR (p."id" < $2::integer)))
ORDER BY p."rating" DESC, p."id" DESC
LIMIT $3::bigint;

-- posts?order=-rating cursor [null,"3"]
-- values: "3"
SELECT (((('{"id":' || p."id"::text) || (',"title":' || coalesce(to_json(p."title")::text, 'null'))) || ((',"published":' || coalesce(p."published"::text, 'null')) || (',"userId":' || (coalesce(p."userId"::text, 'null') || ',"editorId":')))) || (((coalesce(p."editorId"::text, 'null') || ',"categoryId":') || (coalesce(p."categoryId"::text, 'null') || ',"createdAt":')) || ((CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"rating":') || (CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END || (coalesce(',"meta":' || p."meta"::text, '') || '}'))))),
	p."rating"::text, p."id"::bigint
FROM (SELECT p.* FROM ((SELECT p.* FROM "public"."Post" AS p
WHERE p."rating" IS NULL AND (p."id" < $1::integer)
ORDER BY p."rating" DESC, p."id" DESC
LIMIT $2::bigint)
UNION ALL (SELECT p.* FROM "public"."Post" AS p
WHERE p."rating" IS NOT NULL
ORDER BY p."rating" DESC, p."id" DESC
LIMIT $2::bigint)) AS p
ORDER BY p."rating" DESC, p."id" DESC
LIMIT $2::bigint) AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) END
ORDER BY p."rating" DESC, p."id" DESC;

-- posts?order=published,-rating&count=exact cursor ["true",null,"3"]
-- values: "true" "3"
SELECT (SELECT count(*) FROM "public"."Post" AS p)::text, NULL, NULL, NULL
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) END
UNION ALL
(SELECT (((('{"id":' || p."id"::text) || (',"title":' || coalesce(to_json(p."title")::text, 'null'))) || ((',"published":' || coalesce(p."published"::text, 'null')) || (',"userId":' || (coalesce(p."userId"::text, 'null') || ',"editorId":')))) || (((coalesce(p."editorId"::text, 'null') || ',"categoryId":') || (coalesce(p."categoryId"::text, 'null') || ',"createdAt":')) || ((CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"rating":') || (CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END || (coalesce(',"meta":' || p."meta"::text, '') || '}'))))),
	p."published"::text, p."rating"::text, p."id"::bigint
FROM "public"."Post" AS p
WHERE (p."published" >= $1::boolean AND (p."published" > $1::boolean OR (p."rating" IS NULL AND (p."id" > $2::integer) OR p."rating" IS NOT NULL)))
ORDER BY p."published", p."rating" DESC, p."id"
LIMIT $3::bigint);

-- posts?order=rating&embed=users!userId cursor ["2.00","3"]
-- values: "2.00" "3"
SELECT (((('{"id":' || p."id"::text) || (',"title":' || (coalesce(to_json(p."title")::text, 'null') || ',"published":'))) || ((coalesce(p."published"::text, 'null') || ',"userId":') || (coalesce(p."userId"::text, 'null') || (',"editorId":' || coalesce(p."editorId"::text, 'null'))))) || (((',"categoryId":' || coalesce(p."categoryId"::text, 'null')) || (',"createdAt":' || (CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"rating":'))) || ((CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END || coalesce(',"meta":' || p."meta"::text, '')) || (',"users":' || (coalesce(e0.j, 'null') || '}'))))),
	p."rating"::text, p."id"::bigint,
	p."userId" IS NOT NULL AND e0.j IS NULL
FROM (SELECT p.* FROM ((SELECT p.* FROM "public"."Post" AS p
WHERE p."rating" >= $1::numeric AND (p."rating" > $1::numeric OR (p."id" > $2::integer))
ORDER BY p."rating", p."id"
LIMIT $3::bigint)
UNION ALL (SELECT p.* FROM "public"."Post" AS p
WHERE p."rating" IS NULL
ORDER BY p."rating", p."id"
LIMIT $3::bigint)) AS p
ORDER BY p."rating", p."id"
LIMIT $3::bigint) AS p
LEFT JOIN LATERAL (SELECT ((('{"id":' || (c0."id"::text || ',"email":')) || (coalesce(to_json(c0."email")::text, 'null') || (',"name":' || coalesce(to_json(c0."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00' AND c0."createdAt" < '10000-01-01 00:00:00' THEN to_char(c0."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || c0."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(c0."managerId"::text, 'null') || ',"active":') || (coalesce(c0."active"::text, 'null') || '}')))) AS j
FROM "public"."User" AS c0 WHERE c0."id" = p."userId") AS e0 ON true
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) AND pgfanout.readable(1, 101, '"public"."User"'::regclass) END
ORDER BY p."rating", p."id";

-- categories?order=id,-name cursor ["1"]
-- values: "1"
SELECT (('{"id":' || (p."id"::text || ',"name":')) || ((coalesce(to_json(p."name")::text, 'null') || ',"parentId":') || (coalesce(p."parentId"::text, 'null') || '}'))),
	p."id"::bigint
FROM "public"."categories" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 4 AND t.shape = 104 AND t.relation = '"public"."categories"'::regclass) THEN true ELSE pgfanout.readable(4, 104, '"public"."categories"'::regclass) END AND (p."id") > ($1::smallint)
ORDER BY p."id"
LIMIT $2::bigint;

