-- On a replica: versions that the primary has never given out ($2 of the rows, $3 of the tombstones,
-- $5 of the changes given up, of the products $1; 0: none) would make it refuse every change to come,
-- or avoid the product for ever. They become $4, the newest version that the primary had given out when
-- it was asked after they had been seen.
--
-- A product cannot go backwards by it: every change up to $4 is still refused, and one above $4 is
-- newer than all that the replica has applied in order. 0 would let in an old message that comes
-- late. Only a row that still has the version that was seen is changed. Batches wait meanwhile
-- (advisory lock 1885824611/1), as they wait for one another.
WITH locked AS MATERIALIZED (
	SELECT pg_advisory_xact_lock(1885824611, 1)
), wrong AS MATERIALIZED (
	SELECT w.id, w.version, w.buried, w.dead
	FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $5::bigint[])
		AS w (id, version, buried, dead)
		CROSS JOIN locked
), lowered AS (
	UPDATE products p SET version = $4::bigint FROM wrong w
		WHERE p.id = w.id AND p.version = w.version AND p.version > $4::bigint
), dead AS (
	UPDATE pgfanout.dead_letters d SET version = $4::bigint FROM wrong w
		WHERE d."table" = 1 AND d.key[1]::uuid = w.id AND d.version = w.dead AND d.version > $4::bigint
)
UPDATE pgfanout.tombstones_1 t SET version = $4::bigint FROM wrong w
	WHERE t.id = w.id AND t.version = w.buried AND t.version > $4::bigint
