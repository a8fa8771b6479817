-- users?
-- values:
SELECT ((('{"id":' || (p."id"::text || ',"email":')) || (coalesce(to_json(p."email")::text, 'null') || (',"name":' || coalesce(to_json(p."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(p."managerId"::text, 'null') || ',"active":') || (coalesce(p."active"::text, 'null') || '}')))),
	p."id"::bigint
FROM "public"."User" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) THEN true ELSE pgfanout.readable(1, 101, '"public"."User"'::regclass) END
ORDER BY p."id"
LIMIT $1::bigint;

-- users?limit=5&select=name,id
-- values:
SELECT (('{"name":' || coalesce(to_json(p."name")::text, 'null')) || (',"id":' || (p."id"::text || '}'))),
	p."id"::bigint
FROM "public"."User" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) THEN true ELSE pgfanout.readable(1, 101, '"public"."User"'::regclass) END
ORDER BY p."id"
LIMIT $1::bigint;

-- posts?userId=eq.1&order=-id
-- values: "1"
SELECT (((('{"id":' || p."id"::text) || (',"title":' || coalesce(to_json(p."title")::text, 'null'))) || ((',"published":' || coalesce(p."published"::text, 'null')) || (',"userId":' || (coalesce(p."userId"::text, 'null') || ',"editorId":')))) || (((coalesce(p."editorId"::text, 'null') || ',"categoryId":') || (coalesce(p."categoryId"::text, 'null') || ',"createdAt":')) || ((CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"rating":') || (CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END || (coalesce(',"meta":' || p."meta"::text, '') || '}'))))),
	p."id"::bigint
FROM "public"."Post" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) END AND p."userId" = $1::integer
ORDER BY p."id" DESC
LIMIT $2::bigint;

-- posts?categoryId=in.(1,2)&rating=gte.3.5&published=is.true
-- values: "1" "2" "3.5"
SELECT (((('{"id":' || p."id"::text) || (',"title":' || coalesce(to_json(p."title")::text, 'null'))) || ((',"published":' || coalesce(p."published"::text, 'null')) || (',"userId":' || (coalesce(p."userId"::text, 'null') || ',"editorId":')))) || (((coalesce(p."editorId"::text, 'null') || ',"categoryId":') || (coalesce(p."categoryId"::text, 'null') || ',"createdAt":')) || ((CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"rating":') || (CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END || (coalesce(',"meta":' || p."meta"::text, '') || '}'))))),
	p."id"::bigint
FROM "public"."Post" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) END AND p."categoryId" IN ($1::smallint, $2::smallint) AND p."rating" >= $3::numeric AND p."published"
ORDER BY p."id"
LIMIT $4::bigint;

-- users?name=like.Ad%25&active=is.false
-- values: "Ad%" "Ad" "Ae"
SELECT ((('{"id":' || (p."id"::text || ',"email":')) || (coalesce(to_json(p."email")::text, 'null') || (',"name":' || coalesce(to_json(p."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(p."managerId"::text, 'null') || ',"active":') || (coalesce(p."active"::text, 'null') || '}')))),
	p."id"::bigint
FROM "public"."User" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) THEN true ELSE pgfanout.readable(1, 101, '"public"."User"'::regclass) END AND p."name" LIKE $1::text AND p."name" ~>=~ $2::text AND p."name" ~<~ $3::text AND p."name" >= $2::text COLLATE "C" AND p."name" < $3::text COLLATE "C" AND NOT p."active"
ORDER BY p."id"
LIMIT $4::bigint;

-- categories?name=like.a%25&parentId=is.null
-- values: "a%" "a" "b"
SELECT (('{"id":' || (p."id"::text || ',"name":')) || ((coalesce(to_json(p."name")::text, 'null') || ',"parentId":') || (coalesce(p."parentId"::text, 'null') || '}'))),
	p."id"::bigint
FROM "public"."categories" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 4 AND t.shape = 104 AND t.relation = '"public"."categories"'::regclass) THEN true ELSE pgfanout.readable(4, 104, '"public"."categories"'::regclass) END AND p."name" LIKE $1::text AND p."name" ~>=~ $2::text AND p."name" ~<~ $3::text AND p."name" >= $2::text COLLATE "C" AND p."name" < $3::text COLLATE "C" AND p."parentId" IS NULL
ORDER BY p."id"
LIMIT $4::bigint;

-- users?name=neq.Ada&managerId=is.notnull&active=eq.true
-- values: "Ada" "true"
SELECT ((('{"id":' || (p."id"::text || ',"email":')) || (coalesce(to_json(p."email")::text, 'null') || (',"name":' || coalesce(to_json(p."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(p."managerId"::text, 'null') || ',"active":') || (coalesce(p."active"::text, 'null') || '}')))),
	p."id"::bigint
FROM "public"."User" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) THEN true ELSE pgfanout.readable(1, 101, '"public"."User"'::regclass) END AND p."name" <> $1::text AND p."managerId" IS NOT NULL AND p."active" = $2::boolean
ORDER BY p."id"
LIMIT $3::bigint;

-- lines?id=eq.00000000-0000-0000-0000-00000000000A&code=eq.ab
-- values: "00000000-0000-0000-0000-00000000000a" "ab"
SELECT ((('{"amount":' || (coalesce(to_json(p."amount")::text, 'null') || ',"tenant":')) || (p."tenant"::text || (',"code":' || to_json(p."code")::text))) || ((',"day":"' || (p."day"::text || '","big":')) || ((coalesce(p."big"::text, 'null') || ',"id":') || (coalesce('"' || p."id"::text || '"', 'null') || '}')))),
	p."tenant"::bigint, p."code"::text, p."day"::text
FROM "public"."lines" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 5 AND t.shape = 105 AND t.relation = '"public"."lines"'::regclass) THEN true ELSE pgfanout.readable(5, 105, '"public"."lines"'::regclass) END AND p."id" = $1::uuid AND p."code" = $2::bpchar
ORDER BY p."tenant", p."code", p."day"
LIMIT $3::bigint;

-- comments?postId=eq.1 primary
-- values: "1"
SELECT ((('{"id":' || p."id"::text) || (',"postId":' || (coalesce(p."postId"::text, 'null') || ',"userId":'))) || ((coalesce(p."userId"::text, 'null') || (',"text":' || coalesce(to_json(p."text")::text, 'null'))) || (',"visible":' || (coalesce(p."visible"::text, 'null') || '}')))),
	p."id"::bigint
FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 3 AND t.shape = 103 AND t.relation = '"public"."Comment"'::regclass) THEN true ELSE pgfanout.readable(3, 103, '"public"."Comment"'::regclass) END AND p."postId" = $1::integer
ORDER BY p."id"
LIMIT $2::bigint;

-- tags?tag=gt.a&line=eq.101
-- values: "a" "101"
SELECT (('{"tag":' || (to_json(p."tag")::text || ',"line":')) || ((CASE WHEN p."line" IS DISTINCT FROM NULL THEN to_json(concat(p."line"))::text ELSE 'null' END || ',"post":') || (coalesce(p."post"::text, 'null') || '}'))),
	p."tag"::text
FROM "public"."tags" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 6 AND t.shape = 106 AND t.relation = '"public"."tags"'::regclass) THEN true ELSE pgfanout.readable(6, 106, '"public"."tags"'::regclass) END AND p."tag" > $1::text AND p."line" = $2::"bit"
ORDER BY p."tag"
LIMIT $3::bigint;

-- odd?column.limit=gt.0&a%22b'c%5Cd=eq.x'%22%5C
-- values: "0" "x'"\"
SELECT ((('{"limit":' || (p."limit"::text || E',"a\\"b''c\\\\d":')) || (coalesce(to_json(p."a""b'c\d")::text, 'null') || (E',"\\u0001ä$$":' || coalesce(to_json(p."ä$$")::text, 'null')))) || ((',"column.limit":' || (coalesce(p."column.limit"::text, 'null') || ',"a,b":')) || ((coalesce(p."a,b"::text, 'null') || ',"-x":') || (coalesce(p."-x"::text, 'null') || '}')))),
	p."limit"::bigint
FROM "Sales ""x"""."Odd 'one' \ $1" AS p
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 8 AND t.shape = 108 AND t.relation = E'"Sales ""x"""."Odd ''one'' \\ $1"'::regclass) THEN true ELSE pgfanout.readable(8, 108, E'"Sales ""x"""."Odd ''one'' \\ $1"'::regclass) END AND p."limit" > $1::integer AND p."a""b'c\d" = $2::text
ORDER BY p."limit"
LIMIT $3::bigint;

