-- users?
-- values:
SELECT concat('{"id":', p."id", ',"email":', coalesce(to_json(p."email"), 'null'), ',"name":', coalesce(to_json(p."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE p."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(p."managerId"::text, 'null'), ',"active":', coalesce(p."active"::text, 'null'), '}'),
	concat('[', '"', p."id", '"', ']'),
	false
FROM "public"."User" AS p
WHERE pgfanout.readable(1, 101)
ORDER BY p."id"
LIMIT $1::bigint;

-- users?limit=5&select=name,id
-- values:
SELECT concat('{"name":', coalesce(to_json(p."name"), 'null'), ',"id":', p."id", '}'),
	concat('[', '"', p."id", '"', ']'),
	false
FROM "public"."User" AS p
WHERE pgfanout.readable(1, 101)
ORDER BY p."id"
LIMIT $1::bigint;

-- posts?userId=eq.1&order=-id
-- values: "1"
SELECT concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, '}'),
	concat('[', '"', p."id", '"', ']'),
	false
FROM "public"."Post" AS p
WHERE pgfanout.readable(2, 102) AND p."userId" = $1::integer
ORDER BY p."id" DESC
LIMIT $2::bigint;

-- posts?categoryId=in.(1,2)&rating=gte.3.5&published=is.true
-- values: "1" "2" "3.5"
SELECT concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, '}'),
	concat('[', '"', p."id", '"', ']'),
	false
FROM "public"."Post" AS p
WHERE pgfanout.readable(2, 102) AND p."categoryId" IN ($1::smallint, $2::smallint) AND p."rating" >= $3::numeric AND p."published"
ORDER BY p."id"
LIMIT $4::bigint;

-- users?name=like.Ad%25&active=is.false
-- values: "Ad%" "Ad" "Ae"
SELECT concat('{"id":', p."id", ',"email":', coalesce(to_json(p."email"), 'null'), ',"name":', coalesce(to_json(p."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE p."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(p."managerId"::text, 'null'), ',"active":', coalesce(p."active"::text, 'null'), '}'),
	concat('[', '"', p."id", '"', ']'),
	false
FROM "public"."User" AS p
WHERE pgfanout.readable(1, 101) AND p."name" LIKE $1::text AND p."name" ~>=~ $2::text AND p."name" ~<~ $3::text AND p."name" >= $2::text COLLATE "C" AND p."name" < $3::text COLLATE "C" AND NOT p."active"
ORDER BY p."id"
LIMIT $4::bigint;

-- categories?name=like.a%25&parentId=is.null
-- values: "a%" "a" "b"
SELECT concat('{"id":', p."id", ',"name":', coalesce(to_json(p."name"), 'null'), ',"parentId":', coalesce(p."parentId"::text, 'null'), '}'),
	concat('[', '"', p."id", '"', ']'),
	false
FROM "public"."categories" AS p
WHERE pgfanout.readable(4, 104) AND p."name" LIKE $1::text AND p."name" ~>=~ $2::text AND p."name" ~<~ $3::text AND p."name" >= $2::text COLLATE "C" AND p."name" < $3::text COLLATE "C" AND p."parentId" IS NULL
ORDER BY p."id"
LIMIT $4::bigint;

-- users?name=neq.Ada&managerId=is.notnull&active=eq.true
-- values: "Ada" "true"
SELECT concat('{"id":', p."id", ',"email":', coalesce(to_json(p."email"), 'null'), ',"name":', coalesce(to_json(p."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE p."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(p."managerId"::text, 'null'), ',"active":', coalesce(p."active"::text, 'null'), '}'),
	concat('[', '"', p."id", '"', ']'),
	false
FROM "public"."User" AS p
WHERE pgfanout.readable(1, 101) AND p."name" <> $1::text AND p."managerId" IS NOT NULL AND p."active" = $2::boolean
ORDER BY p."id"
LIMIT $3::bigint;

-- lines?id=eq.00000000-0000-0000-0000-00000000000A&code=eq.ab
-- values: "00000000-0000-0000-0000-00000000000a" "ab"
SELECT concat('{"amount":', coalesce(to_json(p."amount"), 'null'), ',"tenant":', p."tenant", ',"code":', to_json(p."code"), ',"day":"', p."day", '","big":', coalesce(p."big"::text, 'null'), ',"id":', coalesce('"' || p."id" || '"', 'null'), '}'),
	concat('[', '"', p."tenant", '"', ',', coalesce(to_json(p."code"::text), 'null'), ',', coalesce(to_json(p."day"::text), 'null'), ']'),
	false
FROM "public"."lines" AS p
WHERE pgfanout.readable(5, 105) AND p."id" = $1::uuid AND p."code" = $2::bpchar
ORDER BY p."tenant", p."code", p."day"
LIMIT $3::bigint;

-- comments?postId=eq.1 primary
-- values: "1"
SELECT concat('{"id":', p."id", ',"postId":', coalesce(p."postId"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"text":', coalesce(to_json(p."text"), 'null'), ',"visible":', coalesce(p."visible"::text, 'null'), '}'),
	concat('[', '"', p."id", '"', ']'),
	false
FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS p
WHERE pgfanout.readable(3, 103) AND p."postId" = $1::integer
ORDER BY p."id"
LIMIT $2::bigint;

-- tags?tag=gt.a&line=eq.101
-- values: "a" "101"
SELECT concat('{"tag":', to_json(p."tag"), ',"line":', CASE WHEN p."line" IS DISTINCT FROM NULL THEN to_json(concat(p."line")) ELSE 'null' END, ',"post":', coalesce(p."post"::text, 'null'), '}'),
	concat('[', coalesce(to_json(p."tag"::text), 'null'), ']'),
	false
FROM "public"."tags" AS p
WHERE pgfanout.readable(6, 106) AND p."tag" > $1::text AND p."line" = $2::"bit"
ORDER BY p."tag"
LIMIT $3::bigint;

-- odd?column.limit=gt.0&a%22b'c%5Cd=eq.x'%22%5C
-- values: "0" "x'"\"
SELECT concat('{"limit":', p."limit", E',"a\\"b''c\\\\d":', coalesce(to_json(p."a""b'c\d"), 'null'), E',"\\u0001ä$$":', coalesce(to_json(p."ä$$"), 'null'), ',"column.limit":', coalesce(p."column.limit"::text, 'null'), ',"a,b":', coalesce(p."a,b"::text, 'null'), ',"-x":', coalesce(p."-x"::text, 'null'), '}'),
	concat('[', '"', p."limit", '"', ']'),
	false
FROM "Sales ""x"""."Odd 'one' \ $1" AS p
WHERE pgfanout.readable(8, 108) AND p."limit" > $1::integer AND p."a""b'c\d" = $2::text
ORDER BY p."limit"
LIMIT $3::bigint;

