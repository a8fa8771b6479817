-- users?
-- values:
SELECT w.n, ((('{"id":' || (p."id"::text || ',"email":')) || (coalesce(to_json(p."email")::text, 'null') || (',"name":' || coalesce(to_json(p."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN p."createdAt" >= '0001-01-01 00:00:00' AND p."createdAt" < '10000-01-01 00:00:00' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(p."managerId"::text, 'null') || ',"active":') || (coalesce(p."active"::text, 'null') || '}'))))
FROM unnest($1::text[]) WITH ORDINALITY AS w (k1, n)
JOIN "public"."User" AS p ON p."id" = w.k1::integer
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) THEN true ELSE pgfanout.readable(1, 101, '"public"."User"'::regclass) END;

-- lines?
-- values:
SELECT w.n, ((('{"amount":' || (coalesce(to_json(p."amount")::text, 'null') || ',"tenant":')) || (p."tenant"::text || (',"code":' || to_json(p."code")::text))) || ((',"day":"' || (p."day"::text || '","big":')) || ((coalesce(p."big"::text, 'null') || ',"id":') || (coalesce('"' || p."id"::text || '"', 'null') || '}'))))
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w (k1, k2, k3, n)
JOIN "public"."lines" AS p ON p."tenant" = w.k1::integer AND p."code" = w.k2::bpchar AND p."day" = w.k3::date
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 5 AND t.shape = 105 AND t.relation = '"public"."lines"'::regclass) THEN true ELSE pgfanout.readable(5, 105, '"public"."lines"'::regclass) END;

-- tags?select=tag
-- values:
SELECT w.n, ('{"tag":' || (to_json(p."tag")::text || '}'))
FROM unnest($1::text[]) WITH ORDINALITY AS w (k1, n)
JOIN "public"."tags" AS p ON p."tag" = w.k1::text
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 6 AND t.shape = 106 AND t.relation = '"public"."tags"'::regclass) THEN true ELSE pgfanout.readable(6, 106, '"public"."tags"'::regclass) END;

-- posts?embed=users!userId,comments primary
-- values:
SELECT w.n, (((('{"id":' || (p."id"::text || ',"title":')) || (coalesce(to_json(p."title")::text, 'null') || (',"published":' || coalesce(p."published"::text, 'null')))) || ((',"userId":' || (coalesce(p."userId"::text, 'null') || ',"editorId":')) || (coalesce(p."editorId"::text, 'null') || (',"categoryId":' || coalesce(p."categoryId"::text, 'null'))))) || (((',"createdAt":' || (CASE WHEN p."createdAt" >= '0001-01-01 00:00:00Z' AND p."createdAt" < '10000-01-01 00:00:00Z' THEN to_char(p."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."createdAt"::text || '"', 'null') END || ',"rating":')) || (CASE WHEN p."rating" <> 'NaN' THEN p."rating"::text ELSE coalesce(to_json(p."rating")::text, 'null') END || (coalesce(',"meta":' || p."meta"::text, '') || ',"users":'))) || ((coalesce(e0.j, 'null') || (',"comments":[' || coalesce(e1.j, ''))) || (']' || (CASE WHEN e1.more THEN ',"commentsTruncated":true' ELSE '' END || '}'))))),
	p."userId" IS NOT NULL AND e0.j IS NULL
FROM unnest($1::text[]) WITH ORDINALITY AS w (k1, n)
JOIN "public"."Post" AS p ON p."id" = w.k1::integer
LEFT JOIN LATERAL (SELECT ((('{"id":' || (c0."id"::text || ',"email":')) || (coalesce(to_json(c0."email")::text, 'null') || (',"name":' || coalesce(to_json(c0."name")::text, 'null')))) || ((',"createdAt":' || (CASE WHEN c0."createdAt" >= '0001-01-01 00:00:00' AND c0."createdAt" < '10000-01-01 00:00:00' THEN to_char(c0."createdAt", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || c0."createdAt"::text || '"', 'null') END || ',"managerId":')) || ((coalesce(c0."managerId"::text, 'null') || ',"active":') || (coalesce(c0."active"::text, 'null') || '}')))) AS j
FROM "public"."User" AS c0 WHERE c0."id" = p."userId") AS e0 ON true
LEFT JOIN LATERAL (SELECT string_agg(x.j, ',') AS j, count(*) = 100 AND EXISTS (SELECT FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS c1 WHERE c1."postId" = p."id" OFFSET 100) AS more FROM (SELECT ((('{"id":' || c1."id"::text) || (',"postId":' || (coalesce(c1."postId"::text, 'null') || ',"userId":'))) || ((coalesce(c1."userId"::text, 'null') || (',"text":' || coalesce(to_json(c1."text")::text, 'null'))) || (',"visible":' || (coalesce(c1."visible"::text, 'null') || '}')))) AS j
FROM (SELECT * FROM "public"."Comment" WHERE (visible OR id < 0)) AS c1 WHERE c1."postId" = p."id" ORDER BY c1."id" LIMIT 100) AS x) AS e1 ON true
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 2 AND t.shape = 102 AND t.relation = '"public"."Post"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 1 AND t.shape = 101 AND t.relation = '"public"."User"'::regclass) AND EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 3 AND t.shape = 103 AND t.relation = '"public"."Comment"'::regclass) THEN true ELSE pgfanout.readable(2, 102, '"public"."Post"'::regclass) AND pgfanout.readable(1, 101, '"public"."User"'::regclass) AND pgfanout.readable(3, 103, '"public"."Comment"'::regclass) END;

-- kinds?
-- values:
SELECT w.n, ((((('{' || (coalesce('"data":' || p."data"::text || ',', '') || coalesce('"more":' || p."more"::text || ',', ''))) || ('"id":' || (p."id"::text || ',"flag":'))) || ((coalesce(p."flag"::text, 'null') || (',"small":' || coalesce(p."small"::text, 'null'))) || (',"num":' || (coalesce(to_json(p."num")::text, 'null') || ',"real":')))) || (((coalesce(to_json(p."real")::text, 'null') || (',"dbl":' || coalesce(to_json(p."dbl")::text, 'null'))) || (',"at":' || (CASE WHEN p."at" >= '0001-01-01 00:00:00Z' AND p."at" < '10000-01-01 00:00:00Z' THEN to_char(p."at", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"') ELSE coalesce('"' || p."at"::text || '"', 'null') END || ',"wall":'))) || ((CASE WHEN p."wall" >= '0001-01-01 00:00:00' AND p."wall" < '10000-01-01 00:00:00' THEN to_char(p."wall", E'\\"YYYY-MM-DD"T"HH24:MI:SS.US\\"') ELSE coalesce('"' || p."wall"::text || '"', 'null') END || (',"day":' || coalesce('"' || p."day"::text || '"', 'null'))) || (',"txt":' || (coalesce(to_json(p."txt")::text, 'null') || ',"code":'))))) || ((((coalesce(to_json(p."code")::text, 'null') || (',"uid":' || coalesce('"' || p."uid"::text || '"', 'null'))) || (',"mood":' || (coalesce(to_json(p."mood")::text, 'null') || ',"nums":'))) || ((CASE WHEN replace(array_dims(p."nums"), '[1:', '') LIKE '%[%' THEN to_json(p."nums"::text)::text ELSE coalesce(to_json(p."nums")::text, 'null') END || (',"ats":' || CASE WHEN replace(array_dims(p."ats"), '[1:', '') LIKE '%[%' THEN to_json(p."ats"::text)::text ELSE coalesce(to_json(p."ats")::text, 'null') END)) || (',"codes":' || (CASE WHEN replace(array_dims(p."codes"), '[1:', '') LIKE '%[%' THEN to_json(p."codes"::text)::text ELSE coalesce(to_json(p."codes")::text, 'null') END || ',"bytes":')))) || (((CASE WHEN p."bytes" IS DISTINCT FROM NULL THEN to_json(concat(p."bytes"))::text ELSE 'null' END || (',"ip":' || CASE WHEN p."ip" IS DISTINCT FROM NULL THEN to_json(concat(p."ip"))::text ELSE 'null' END)) || (',"span":' || (CASE WHEN p."span" IS DISTINCT FROM NULL THEN to_json(concat(p."span"))::text ELSE 'null' END || ',"pair":'))) || ((CASE WHEN p."pair" IS DISTINCT FROM NULL THEN to_json(concat(p."pair"))::text ELSE 'null' END || (',"pt":' || CASE WHEN p."pt" IS DISTINCT FROM NULL THEN to_json(concat(p."pt"))::text ELSE 'null' END)) || (',"bits":' || (CASE WHEN p."bits" IS DISTINCT FROM NULL THEN to_json(concat(p."bits"))::text ELSE 'null' END || '}'))))))
FROM unnest($1::text[]) WITH ORDINALITY AS w (k1, n)
JOIN "public"."kinds" AS p ON p."id" = w.k1::bigint
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 9 AND t.shape = 109 AND t.relation = '"public"."kinds"'::regclass) THEN true ELSE pgfanout.readable(9, 109, '"public"."kinds"'::regclass) END;

-- kinds?select=data,more
-- values:
SELECT w.n, ('{' || substr((coalesce(',"data":' || p."data"::text, '') || coalesce(',"more":' || p."more"::text, '')), 2) || '}')
FROM unnest($1::text[]) WITH ORDINALITY AS w (k1, n)
JOIN "public"."kinds" AS p ON p."id" = w.k1::bigint
WHERE CASE WHEN EXISTS (SELECT FROM pgfanout.readable_tables AS t WHERE t.id = 9 AND t.shape = 109 AND t.relation = '"public"."kinds"'::regclass) THEN true ELSE pgfanout.readable(9, 109, '"public"."kinds"'::regclass) END;

