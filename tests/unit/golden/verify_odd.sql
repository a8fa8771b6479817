SELECT ARRAY[concat(p."Region ""x"""), concat(p."select"), concat(p."count")]::text AS key, sha256(convert_to(ROW(p."count", p."Region ""x""", p."select", p."flag", p."small", p."big", p."id", p."at", p."amount", p."data", p."nöte", p."back\slash", p."code")::text, 'UTF8')) AS digest
FROM (SELECT * FROM s.there q WHERE (flag AND note <> 'no')) p
WHERE $1::text[] IS NULL
ORDER BY p."Region ""x""", p."select", p."count" LIMIT $2::integer; -- 2

SELECT ARRAY[concat(p."Region ""x"""), concat(p."select"), concat(p."count")]::text AS key, sha256(convert_to(ROW(p."count", p."Region ""x""", p."select", p."flag", p."small", p."big", p."id", p."at", p."amount", p."data", p."nöte", p."back\slash", p."code")::text, 'UTF8')) AS digest
FROM (SELECT * FROM s.there q WHERE (flag AND note <> 'no')) p
WHERE (p."Region ""x""", p."select", p."count") > (($1::text[])[1]::text, ($1::text[])[2]::integer, ($1::text[])[3]::bigint)
ORDER BY p."Region ""x""", p."select", p."count" LIMIT $2::integer; -- 2

SELECT (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM pgfanout.version_seq) AS given, absent.place
FROM (SELECT) AS one LEFT JOIN (
	SELECT (k.place - 1)::integer AS place FROM unnest($1::text[]) WITH ORDINALITY AS k (key, place)
	WHERE NOT EXISTS (SELECT FROM (SELECT * FROM s.there q WHERE (flag AND note <> 'no')) p WHERE p."Region ""x""" OPERATOR(pg_catalog.=) (k.key::text[])[1]::text AND p."select" OPERATOR(pg_catalog.=) (k.key::text[])[2]::integer AND p."count" OPERATOR(pg_catalog.=) (k.key::text[])[3]::bigint)
) AS absent ON true; -- 1

SELECT k.place,
	(SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now,
	(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM pgfanout.version_seq) AS given,
	CASE WHEN p."Region ""x""" IS DISTINCT FROM NULL THEN concat(concat(CASE WHEN p."count" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."count"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."Region ""x""" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."Region ""x"""), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."select" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."select"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."flag" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."flag"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."small" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."small"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."big" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."big"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."id" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."id"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."at" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."at"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."amount" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."amount"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."data" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."data"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."nöte" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."nöte"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."back\slash" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."back\slash"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."code" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."code"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END)) END AS columns,
	CASE WHEN p."Region ""x""" IS DISTINCT FROM NULL THEN octet_length(ROW(p."count", p."Region ""x""", p."select", p."flag", p."small", p."big", p."id", p."at", p."amount", p."data", p."nöte", p."back\slash", p."code")::text) END AS bytes
FROM unnest($1::text[], $2::integer[]) AS k (key, place)
LEFT JOIN (SELECT * FROM s.there q WHERE (flag AND note <> 'no')) p ON p."Region ""x""" OPERATOR(pg_catalog.=) (k.key::text[])[1]::text AND p."select" OPERATOR(pg_catalog.=) (k.key::text[])[2]::integer AND p."count" OPERATOR(pg_catalog.=) (k.key::text[])[3]::bigint; -- 2

SELECT ARRAY[concat(p."Region ""x"""), concat(p."select"), concat(p."count")]::text AS key, (p."pgfanout_version" > $3::bigint)::integer AS above
FROM s.here p
WHERE $1::text[] IS NULL
ORDER BY p."Region ""x""", p."select", p."count" LIMIT $2::integer; -- 3

SELECT ARRAY[concat(p."Region ""x"""), concat(p."select"), concat(p."count")]::text AS key, (p."pgfanout_version" > $3::bigint)::integer AS above
FROM s.here p
WHERE (p."Region ""x""", p."select", p."count") > (($1::text[])[1]::text, ($1::text[])[2]::integer, ($1::text[])[3]::bigint)
ORDER BY p."Region ""x""", p."select", p."count" LIMIT $2::integer; -- 3

SELECT (k.place - 1)::integer AS place
FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS k (key, digest, place)
LEFT JOIN s.here p ON p."Region ""x""" OPERATOR(pg_catalog.=) (k.key::text[])[1]::text AND p."select" OPERATOR(pg_catalog.=) (k.key::text[])[2]::integer AND p."count" OPERATOR(pg_catalog.=) (k.key::text[])[3]::bigint
WHERE k.digest IS DISTINCT FROM CASE WHEN p."pgfanout_version" IS DISTINCT FROM NULL THEN sha256(convert_to(ROW(p."count", p."Region ""x""", p."select", p."flag", p."small", p."big", p."id", p."at", p."amount", p."data", p."nöte", p."back\slash", p."code")::text, 'UTF8')) END; -- 2

SELECT m.key FROM (
	SELECT ARRAY[concat(t."Region ""x"""), concat(t."select"), concat(t."count")]::text AS key FROM pgfanout.tombstones_7 t WHERE t."pgfanout_version" > $3::bigint
	UNION
	SELECT d.key::text FROM pgfanout.dead_letters d WHERE d."table" = 7 AND d.key <> '{}'
) AS m
WHERE $1::text IS NULL OR m.key COLLATE "C" > $1::text
ORDER BY m.key COLLATE "C" LIMIT $2::integer; -- 3

SELECT k.place, p.xmin AS written, coalesce(p."pgfanout_version", 0) AS version, coalesce(t."pgfanout_version", 0) AS buried,
	coalesce(d.version, 0) AS dead,
	(SELECT hashtextextended(concat(s.reset_at, ' ', h.source, ' ', h.snapshot), 0)
	FROM pgfanout.tables h JOIN pgfanout.streams s ON s.stream = h.stream WHERE h.id = 7) AS load,
	CASE WHEN p."pgfanout_version" IS DISTINCT FROM NULL THEN concat(concat(CASE WHEN p."count" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."count"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."Region ""x""" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."Region ""x"""), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."select" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."select"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."flag" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."flag"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."small" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."small"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."big" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."big"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."id" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."id"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."at" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."at"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."amount" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."amount"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."data" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."data"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."nöte" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."nöte"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."back\slash" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."back\slash"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."code" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."code"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END)) END AS columns,
	(EXISTS (SELECT FROM pgfanout.waiting w WHERE w."table" = 7 AND w.key[1]::text OPERATOR(pg_catalog.=) (k.key::text[])[1]::text COLLATE public.nocase AND w.key[2]::integer OPERATOR(pg_catalog.=) (k.key::text[])[2]::integer AND w.key[3]::bigint OPERATOR(pg_catalog.=) (k.key::text[])[3]::bigint))::integer AS waits
FROM unnest($1::text[], $2::integer[]) AS k (key, place)
LEFT JOIN s.here p ON p."Region ""x""" OPERATOR(pg_catalog.=) (k.key::text[])[1]::text AND p."select" OPERATOR(pg_catalog.=) (k.key::text[])[2]::integer AND p."count" OPERATOR(pg_catalog.=) (k.key::text[])[3]::bigint
LEFT JOIN pgfanout.tombstones_7 t ON t."Region ""x""" OPERATOR(pg_catalog.=) (k.key::text[])[1]::text AND t."select" OPERATOR(pg_catalog.=) (k.key::text[])[2]::integer AND t."count" OPERATOR(pg_catalog.=) (k.key::text[])[3]::bigint
LEFT JOIN pgfanout.dead_letters d ON d."table" = 7 AND d.key = k.key::text[]; -- 2

WITH locked AS MATERIALIZED (
	SELECT pg_advisory_xact_lock(1885824611, 2)
), wrong AS MATERIALIZED (
	SELECT w.key::text[] AS key, w.version, w.buried, w.dead
	FROM unnest($1::text[], $2::bigint[], $3::bigint[], $5::bigint[])
		AS w (key, version, buried, dead) CROSS JOIN locked
), lowered AS (
	UPDATE s.here p SET "pgfanout_version" = $4::bigint FROM wrong w WHERE p."Region ""x""" OPERATOR(pg_catalog.=) w.key[1]::text AND p."select" OPERATOR(pg_catalog.=) w.key[2]::integer AND p."count" OPERATOR(pg_catalog.=) w.key[3]::bigint AND p."pgfanout_version" = w.version AND p."pgfanout_version" > $4::bigint
), dead AS (
	UPDATE pgfanout.dead_letters d SET version = $4::bigint FROM wrong w
		WHERE d."table" = 7 AND d.key = w.key AND d."version" = w.dead AND d."version" > $4::bigint
)
UPDATE pgfanout.tombstones_7 t SET "pgfanout_version" = $4::bigint FROM wrong w WHERE t."Region ""x""" OPERATOR(pg_catalog.=) w.key[1]::text AND t."select" OPERATOR(pg_catalog.=) w.key[2]::integer AND t."count" OPERATOR(pg_catalog.=) w.key[3]::bigint AND t."pgfanout_version" = w.buried AND t."pgfanout_version" > $4::bigint; -- 5

WITH held AS MATERIALIZED (
	SELECT * FROM s.there q WHERE q."Region ""x""" OPERATOR(pg_catalog.=) ($1::text[])[1]::text AND q."select" OPERATOR(pg_catalog.=) ($1::text[])[2]::integer AND q."count" OPERATOR(pg_catalog.=) ($1::text[])[3]::bigint AND (flag AND note <> 'no') FOR NO KEY UPDATE
)
SELECT nextval('pgfanout.version_seq'), pg_current_xact_id(), pgfanout.source(), p."count", p."Region ""x""", p."select", p."flag", p."small", p."big", p."id", p."at", p."amount", p."data", p."nöte", p."back\slash", p."code"
FROM held p;

SELECT pgfanout.apply_12($3::text, ARRAY[$1::bigint], ARRAY[$2::xid8], ARRAY[false], ROW(ARRAY[$4]::bigint[], ARRAY[$5]::text[], ARRAY[$6]::integer[], ARRAY[$7]::boolean[], ARRAY[$8]::integer[], ARRAY[$9]::bigint[], ARRAY[$10]::uuid[], ARRAY[$11]::timestamptz[], ARRAY[$12]::text[], ARRAY[$13]::text[], ARRAY[$14]::text[], ARRAY[$15]::text[], ARRAY[$16]::text[])::pgfanout.columns_12, NULL, NULL, NULL, $1::bigint, $17::bigint);

SET search_path = pg_catalog, "Sales", pg_catalog, pg_catalog, pg_catalog, pg_temp
