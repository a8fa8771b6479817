SELECT ARRAY[concat(p."id")]::text AS key, sha256(convert_to(ROW(p."id", p."name", p."price", p."stock", p."created_at", p."updated_at")::text, 'UTF8')) AS digest
FROM s.there p
WHERE $1::text[] IS NULL
ORDER BY p."id" LIMIT $2::integer; -- 2

SELECT ARRAY[concat(p."id")]::text AS key, sha256(convert_to(ROW(p."id", p."name", p."price", p."stock", p."created_at", p."updated_at")::text, 'UTF8')) AS digest
FROM s.there p
WHERE (p."id") > (($1::text[])[1]::uuid)
ORDER BY p."id" LIMIT $2::integer; -- 2

SELECT (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM pgfanout.version_seq) AS given, absent.place
FROM (SELECT) AS one LEFT JOIN (
	SELECT (k.place - 1)::integer AS place FROM unnest($1::text[]) WITH ORDINALITY AS k (key, place)
	WHERE NOT EXISTS (SELECT FROM s.there p WHERE p."id" OPERATOR(pg_catalog.=) (k.key::text[])[1]::uuid)
) AS absent ON true; -- 1

SELECT k.place,
	(SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now,
	(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM pgfanout.version_seq) AS given,
	CASE WHEN p."id" IS DISTINCT FROM NULL THEN concat(concat(CASE WHEN p."id" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."id"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."name" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."name"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."price" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."price"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."stock" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."stock"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."created_at" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."created_at"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."updated_at" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."updated_at"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END)) END AS columns,
	CASE WHEN p."id" IS DISTINCT FROM NULL THEN octet_length(ROW(p."id", p."name", p."price", p."stock", p."created_at", p."updated_at")::text) END AS bytes
FROM unnest($1::text[], $2::integer[]) AS k (key, place)
LEFT JOIN s.there p ON p."id" OPERATOR(pg_catalog.=) (k.key::text[])[1]::uuid; -- 2

SELECT ARRAY[concat(p."id")]::text AS key, (p."version" > $3::bigint)::integer AS above
FROM s.here p
WHERE $1::text[] IS NULL
ORDER BY p."id" LIMIT $2::integer; -- 3

SELECT ARRAY[concat(p."id")]::text AS key, (p."version" > $3::bigint)::integer AS above
FROM s.here p
WHERE (p."id") > (($1::text[])[1]::uuid)
ORDER BY p."id" LIMIT $2::integer; -- 3

SELECT (k.place - 1)::integer AS place
FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS k (key, digest, place)
LEFT JOIN s.here p ON p."id" OPERATOR(pg_catalog.=) (k.key::text[])[1]::uuid
WHERE k.digest IS DISTINCT FROM CASE WHEN p."version" IS DISTINCT FROM NULL THEN sha256(convert_to(ROW(p."id", p."name", p."price", p."stock", p."created_at", p."updated_at")::text, 'UTF8')) END; -- 2

SELECT m.key FROM (
	SELECT ARRAY[concat(t."id")]::text AS key FROM pgfanout.tombstones_1 t WHERE t."version" > $3::bigint
	UNION
	SELECT d.key::text FROM pgfanout.dead_letters d WHERE d."table" = 1 AND d.key <> '{}'
) AS m
WHERE $1::text IS NULL OR m.key COLLATE "C" > $1::text
ORDER BY m.key COLLATE "C" LIMIT $2::integer; -- 3

SELECT k.place, p.xmin AS written, coalesce(p."version", 0) AS version, coalesce(t."version", 0) AS buried,
	coalesce(d.version, 0) AS dead,
	(SELECT hashtextextended(concat(s.reset_at, ' ', h.source, ' ', h.snapshot), 0)
	FROM pgfanout.tables h JOIN pgfanout.streams s ON s.stream = h.stream WHERE h.id = 1) AS load,
	CASE WHEN p."version" IS DISTINCT FROM NULL THEN concat(concat(CASE WHEN p."id" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."id"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."name" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."name"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."price" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."price"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."stock" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."stock"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."created_at" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."created_at"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END, CASE WHEN p."updated_at" IS DISTINCT FROM NULL THEN left(encode(sha256(convert_to(concat(p."updated_at"), 'UTF8')), 'hex'), 32) ELSE '--------------------------------' END)) END AS columns,
	(EXISTS (SELECT FROM pgfanout.waiting w WHERE w."table" = 1 AND w.key[1]::uuid OPERATOR(pg_catalog.=) (k.key::text[])[1]::uuid))::integer AS waits
FROM unnest($1::text[], $2::integer[]) AS k (key, place)
LEFT JOIN s.here p ON p."id" OPERATOR(pg_catalog.=) (k.key::text[])[1]::uuid
LEFT JOIN pgfanout.tombstones_1 t ON t."id" OPERATOR(pg_catalog.=) (k.key::text[])[1]::uuid
LEFT JOIN pgfanout.dead_letters d ON d."table" = 1 AND d.key = k.key::text[]; -- 2

WITH locked AS MATERIALIZED (
	SELECT pg_advisory_xact_lock(1885824611, 2)
), wrong AS MATERIALIZED (
	SELECT w.key::text[] AS key, w.version, w.buried, w.dead
	FROM unnest($1::text[], $2::bigint[], $3::bigint[], $5::bigint[])
		AS w (key, version, buried, dead) CROSS JOIN locked
), lowered AS (
	UPDATE s.here p SET "version" = $4::bigint FROM wrong w WHERE p."id" OPERATOR(pg_catalog.=) w.key[1]::uuid AND p."version" = w.version AND p."version" > $4::bigint
), dead AS (
	UPDATE pgfanout.dead_letters d SET version = $4::bigint FROM wrong w
		WHERE d."table" = 1 AND d.key = w.key AND d."version" = w.dead AND d."version" > $4::bigint
)
UPDATE pgfanout.tombstones_1 t SET "version" = $4::bigint FROM wrong w WHERE t."id" OPERATOR(pg_catalog.=) w.key[1]::uuid AND t."version" = w.buried AND t."version" > $4::bigint; -- 5

WITH held AS MATERIALIZED (
	SELECT * FROM s.there q WHERE q."id" OPERATOR(pg_catalog.=) ($1::text[])[1]::uuid FOR NO KEY UPDATE
)
SELECT nextval('pgfanout.version_seq'), pg_current_xact_id(), pgfanout.source(), p."id", p."name", p."price", p."stock", p."created_at", p."updated_at"
FROM held p;

SELECT pgfanout.apply_1($3::text, ARRAY[$1::bigint], ARRAY[$2::xid8], ARRAY[false], ROW(ARRAY[$4]::uuid[], ARRAY[$5]::text[], ARRAY[$6]::text[], ARRAY[$7]::integer[], ARRAY[$8]::timestamptz[], ARRAY[$9]::timestamptz[])::pgfanout.columns_1, NULL, NULL, NULL, $1::bigint, $10::bigint);

SET search_path = pg_catalog, "public", pg_catalog, pg_temp
