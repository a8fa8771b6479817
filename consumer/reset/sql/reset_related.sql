-- On a replica: the tables that foreign keys tie there to those that are reset ($1), in any number of steps. One
-- that is reset alone could be newer than what it refers to.
WITH RECURSIVE tied (id, relation) AS (
	SELECT t.id, t.relation FROM pgfanout.tables t WHERE t.id = ANY ($1::integer[])
	UNION
	SELECT t.id, t.relation
	FROM tied o JOIN pg_constraint k ON k.contype = 'f' AND o.relation IN (k.conrelid, k.confrelid)
	JOIN pgfanout.tables t ON t.relation IN (k.conrelid, k.confrelid)
)
SELECT array_agg(id::text) FROM tied WHERE id <> ALL ($1::integer[])
