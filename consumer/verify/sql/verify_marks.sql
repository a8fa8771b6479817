-- On a replica: the products from the id $1 to the id $2 that may be wrong whatever their columns
-- say, at most $3 of them: a version above $4, the newest that the primary has given out, would
-- turn away every change to come; of others a change was given up.
SELECT id FROM (
	SELECT id FROM products WHERE id >= $1::uuid AND id <= $2::uuid AND version > $4::bigint
	UNION
	SELECT id FROM pgfanout.tombstones_1
		WHERE id >= $1::uuid AND id <= $2::uuid AND version > $4::bigint
	UNION
	SELECT key[1]::uuid FROM pgfanout.dead_letters
		WHERE "table" = 1 AND key[1]::uuid >= $1::uuid AND key[1]::uuid <= $2::uuid
) marked
ORDER BY id LIMIT $3::integer
