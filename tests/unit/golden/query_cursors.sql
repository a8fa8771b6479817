-- users?limit=2 cursor ["1"]
-- values: "1"
SELECT concat('{"id":', p."id", ',"email":', coalesce(to_json(p."email"), 'null'), ',"name":', coalesce(to_json(p."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE p."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(p."managerId"::text, 'null'), ',"active":', coalesce(p."active"::text, 'null'), '}'),
	concat('[', '"', p."id", '"', ']'),
	false
FROM "public"."User" AS p
WHERE pgfanout.readable(1, 101) AND (p."id") > ($1::integer)
ORDER BY p."id"
LIMIT $2::bigint;

-- users?order=-createdAt cursor ["2026-01-03 00:00:00","3"]
-- values: "2026-01-03 00:00:00" "3"
SELECT concat('{"id":', p."id", ',"email":', coalesce(to_json(p."email"), 'null'), ',"name":', coalesce(to_json(p."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE p."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(p."managerId"::text, 'null'), ',"active":', coalesce(p."active"::text, 'null'), '}'),
	concat('[', coalesce(to_json(p."createdAt"::text), 'null'), ',', '"', p."id", '"', ']'),
	false
FROM "public"."User" AS p
WHERE pgfanout.readable(1, 101) AND (p."createdAt", p."id") < ($1::timestamp without time zone, $2::integer)
ORDER BY p."createdAt" DESC, p."id" DESC
LIMIT $3::bigint;

-- lines? cursor ["1","a","2026-01-01"]
-- values: "1" "a" "2026-01-01"
SELECT concat('{"amount":', coalesce(to_json(p."amount"), 'null'), ',"tenant":', p."tenant", ',"code":', to_json(p."code"), ',"day":"', p."day", '","big":', coalesce(p."big"::text, 'null'), ',"id":', coalesce('"' || p."id" || '"', 'null'), '}'),
	concat('[', '"', p."tenant", '"', ',', coalesce(to_json(p."code"::text), 'null'), ',', coalesce(to_json(p."day"::text), 'null'), ']'),
	false
FROM "public"."lines" AS p
WHERE pgfanout.readable(5, 105) AND (p."tenant", p."code", p."day") > ($1::integer, $2::bpchar, $3::date)
ORDER BY p."tenant", p."code", p."day"
LIMIT $4::bigint;

-- users?order=-createdAt,id cursor ["2026-01-03 00:00:00","3"]
-- values: "2026-01-03 00:00:00" "3"
SELECT concat('{"id":', p."id", ',"email":', coalesce(to_json(p."email"), 'null'), ',"name":', coalesce(to_json(p."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE p."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(p."managerId"::text, 'null'), ',"active":', coalesce(p."active"::text, 'null'), '}'),
	concat('[', coalesce(to_json(p."createdAt"::text), 'null'), ',', '"', p."id", '"', ']'),
	false
FROM "public"."User" AS p
WHERE pgfanout.readable(1, 101) AND (p."createdAt" <= $1::timestamp without time zone AND (p."createdAt" < $1::timestamp without time zone OR (p."id" > $2::integer)))
ORDER BY p."createdAt" DESC, p."id"
LIMIT $3::bigint;

-- posts?order=rating cursor ["2.00","3"]
-- values: "2.00" "3"
SELECT concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, '}'),
	concat('[', coalesce(to_json(p."rating"::text), 'null'), ',', '"', p."id", '"', ']'),
	false
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
WHERE pgfanout.readable(2, 102)
ORDER BY p."rating", p."id";

-- posts?order=rating cursor [null,"3"]
-- values: "3"
SELECT concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, '}'),
	concat('[', coalesce(to_json(p."rating"::text), 'null'), ',', '"', p."id", '"', ']'),
	false
FROM "public"."Post" AS p
WHERE pgfanout.readable(2, 102) AND (p."rating" IS NULL AND (p."id" > $1::integer))
ORDER BY p."rating", p."id"
LIMIT $2::bigint;

-- posts?order=-rating cursor ["2.00","3"]
-- values: "2.00" "3"
SELECT concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, '}'),
	concat('[', coalesce(to_json(p."rating"::text), 'null'), ',', '"', p."id", '"', ']'),
	false
FROM "public"."Post" AS p
WHERE pgfanout.readable(2, 102) AND (p."rating" <= $1::numeric AND (p."rating" < $1::numeric OR (p."id" < $2::integer)))
ORDER BY p."rating" DESC, p."id" DESC
LIMIT $3::bigint;

-- posts?order=-rating cursor [null,"3"]
-- values: "3"
SELECT concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, '}'),
	concat('[', coalesce(to_json(p."rating"::text), 'null'), ',', '"', p."id", '"', ']'),
	false
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
WHERE pgfanout.readable(2, 102)
ORDER BY p."rating" DESC, p."id" DESC;

-- posts?order=published,-rating&count=exact cursor ["true",null,"3"]
-- values: "true" "3"
SELECT NULL::text, NULL::text, false, (SELECT count(*) FROM "public"."Post" AS p)
WHERE pgfanout.readable(2, 102)
UNION ALL
(SELECT concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, '}'),
	concat('[', coalesce(to_json(p."published"::text), 'null'), ',', coalesce(to_json(p."rating"::text), 'null'), ',', '"', p."id", '"', ']'),
	false,
	NULL::bigint
FROM "public"."Post" AS p
WHERE (p."published" >= $1::boolean AND (p."published" > $1::boolean OR (p."rating" IS NULL AND (p."id" > $2::integer) OR p."rating" IS NOT NULL)))
ORDER BY p."published", p."rating" DESC, p."id"
LIMIT $3::bigint);

-- posts?order=rating&embed=users!userId cursor ["2.00","3"]
-- values: "2.00" "3"
SELECT concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, ',"users":', coalesce(e0.j, 'null'), '}'),
	concat('[', coalesce(to_json(p."rating"::text), 'null'), ',', '"', p."id", '"', ']'),
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
LEFT JOIN LATERAL (SELECT concat('{"id":', c0."id", ',"email":', coalesce(to_json(c0."email"), 'null'), ',"name":', coalesce(to_json(c0."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00' AND c0."createdAt" < '10000-01-01 00:00:00' THEN to_char(c0."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE c0."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(c0."managerId"::text, 'null'), ',"active":', coalesce(c0."active"::text, 'null'), '}') AS j
FROM "public"."User" AS c0 WHERE c0."id" = p."userId") AS e0 ON true
WHERE pgfanout.readable(2, 102) AND pgfanout.readable(1, 101)
ORDER BY p."rating", p."id";

-- categories?order=id,-name cursor ["1"]
-- values: "1"
SELECT concat('{"id":', p."id", ',"name":', coalesce(to_json(p."name"), 'null'), ',"parentId":', coalesce(p."parentId"::text, 'null'), '}'),
	concat('[', '"', p."id", '"', ']'),
	false
FROM "public"."categories" AS p
WHERE pgfanout.readable(4, 104) AND (p."id") > ($1::smallint)
ORDER BY p."id"
LIMIT $2::bigint;

