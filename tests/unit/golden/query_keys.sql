-- users?
-- values:
SELECT w.n, concat('{"id":', p."id", ',"email":', coalesce(to_json(p."email"), 'null'), ',"name":', coalesce(to_json(p."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE p."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(p."managerId"::text, 'null'), ',"active":', coalesce(p."active"::text, 'null'), '}'),
	false
FROM unnest($1::text[]) WITH ORDINALITY AS w (k1, n)
JOIN "public"."User" AS p ON p."id" = w.k1::integer
WHERE pgfanout.readable(1, 101);

-- lines?
-- values:
SELECT w.n, concat('{"amount":', coalesce(to_json(p."amount"), 'null'), ',"tenant":', p."tenant", ',"code":', to_json(p."code"), ',"day":"', p."day", '","big":', coalesce(p."big"::text, 'null'), ',"id":', coalesce('"' || p."id" || '"', 'null'), '}'),
	false
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w (k1, k2, k3, n)
JOIN "public"."lines" AS p ON p."tenant" = w.k1::integer AND p."code" = w.k2::bpchar AND p."day" = w.k3::date
WHERE pgfanout.readable(5, 105);

-- tags?select=tag
-- values:
SELECT w.n, concat('{"tag":', to_json(p."tag"), '}'),
	false
FROM unnest($1::text[]) WITH ORDINALITY AS w (k1, n)
JOIN "public"."tags" AS p ON p."tag" = w.k1::text
WHERE pgfanout.readable(6, 106);

-- posts?embed=users!userId,comments primary
-- values:
SELECT w.n, concat('{"id":', p."id", ',"title":', coalesce(to_json(p."title"), 'null'), ',"published":', coalesce(p."published"::text, 'null'), ',"userId":', coalesce(p."userId"::text, 'null'), ',"editorId":', coalesce(p."editorId"::text, 'null'), ',"categoryId":', coalesce(p."categoryId"::text, 'null'), ',"createdAt":', coalesce('"' || CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."createdAt"::text END || '"', 'null'), ',"rating":', coalesce(to_json(p."rating"), 'null'), ',"meta":' || p."meta"::text, ',"users":', coalesce(e0.j, 'null'), ',"comments":[', array_to_string(CASE WHEN cardinality(e1.j) > 100 THEN e1.j[1:100] ELSE e1.j END, ','), ']', CASE WHEN cardinality(e1.j) > 100 THEN ',"commentsTruncated":true' END, '}'),
	p."userId" IS NOT NULL AND e0.j IS NULL
FROM unnest($1::text[]) WITH ORDINALITY AS w (k1, n)
JOIN "public"."Post" AS p ON p."id" = w.k1::integer
LEFT JOIN LATERAL (SELECT concat('{"id":', c0."id", ',"email":', coalesce(to_json(c0."email"), 'null'), ',"name":', coalesce(to_json(c0."name"), 'null'), ',"createdAt":', coalesce('"' || CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00' AND c0."createdAt" < '10000-01-01 00:00:00' THEN to_char(c0."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE c0."createdAt"::text END || '"', 'null'), ',"managerId":', coalesce(c0."managerId"::text, 'null'), ',"active":', coalesce(c0."active"::text, 'null'), '}') AS j
FROM "public"."User" AS c0 WHERE c0."id" = p."userId") AS e0 ON true
LEFT JOIN LATERAL (SELECT array_agg(x.j) AS j FROM (SELECT concat('{"id":', c1."id", ',"postId":', coalesce(c1."postId"::text, 'null'), ',"userId":', coalesce(c1."userId"::text, 'null'), ',"text":', coalesce(to_json(c1."text"), 'null'), ',"visible":', coalesce(c1."visible"::text, 'null'), '}') AS j
FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS c1 WHERE c1."postId" = p."id" ORDER BY c1."id" LIMIT 101) AS x) AS e1 ON true
WHERE pgfanout.readable(2, 102) AND pgfanout.readable(1, 101) AND pgfanout.readable(3, 103);

-- kinds?
-- values:
SELECT w.n, concat('{', '"data":' || p."data"::text || ',', '"more":' || p."more"::text || ',', '"id":', p."id", ',"flag":', coalesce(p."flag"::text, 'null'), ',"small":', coalesce(p."small"::text, 'null'), ',"num":', coalesce(to_json(p."num"), 'null'), ',"real":', coalesce(to_json(p."real"), 'null'), ',"dbl":', coalesce(to_json(p."dbl"), 'null'), ',"at":', coalesce('"' || CASE WHEN p."at" >= '0001-01-01 00:00:00Z' AND p."at" < '10000-01-01 00:00:00Z' THEN to_char(p."at", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE p."at"::text END || '"', 'null'), ',"wall":', coalesce('"' || CASE WHEN p."wall" >= '0001-01-01 00:00:00' AND p."wall" < '10000-01-01 00:00:00' THEN to_char(p."wall", 'YYYY-MM-DD"T"HH24:MI:SS.US') ELSE p."wall"::text END || '"', 'null'), ',"day":', coalesce('"' || p."day" || '"', 'null'), ',"txt":', coalesce(to_json(p."txt"), 'null'), ',"code":', coalesce(to_json(p."code"), 'null'), ',"uid":', coalesce('"' || p."uid" || '"', 'null'), ',"mood":', coalesce(to_json(p."mood"), 'null'), ',"nums":', CASE WHEN replace(array_dims(p."nums"), '[1:', '') LIKE '%[%' THEN to_json(p."nums"::text) ELSE coalesce(to_json(p."nums"), 'null') END, ',"ats":', CASE WHEN replace(array_dims(p."ats"), '[1:', '') LIKE '%[%' THEN to_json(p."ats"::text) ELSE coalesce(to_json(p."ats"), 'null') END, ',"codes":', CASE WHEN replace(array_dims(p."codes"), '[1:', '') LIKE '%[%' THEN to_json(p."codes"::text) ELSE coalesce(to_json(p."codes"), 'null') END, ',"bytes":', CASE WHEN p."bytes" IS DISTINCT FROM NULL THEN to_json(concat(p."bytes")) ELSE 'null' END, ',"ip":', CASE WHEN p."ip" IS DISTINCT FROM NULL THEN to_json(concat(p."ip")) ELSE 'null' END, ',"span":', CASE WHEN p."span" IS DISTINCT FROM NULL THEN to_json(concat(p."span")) ELSE 'null' END, ',"pair":', CASE WHEN p."pair" IS DISTINCT FROM NULL THEN to_json(concat(p."pair")) ELSE 'null' END, ',"pt":', CASE WHEN p."pt" IS DISTINCT FROM NULL THEN to_json(concat(p."pt")) ELSE 'null' END, ',"bits":', CASE WHEN p."bits" IS DISTINCT FROM NULL THEN to_json(concat(p."bits")) ELSE 'null' END, '}'),
	false
FROM unnest($1::text[]) WITH ORDINALITY AS w (k1, n)
JOIN "public"."kinds" AS p ON p."id" = w.k1::bigint
WHERE pgfanout.readable(9, 109);

-- kinds?select=data,more
-- values:
SELECT w.n, concat('{', substr(concat(',"data":' || p."data"::text, ',"more":' || p."more"::text), 2), '}'),
	false
FROM unnest($1::text[]) WITH ORDINALITY AS w (k1, n)
JOIN "public"."kinds" AS p ON p."id" = w.k1::bigint
WHERE pgfanout.readable(9, 109);

