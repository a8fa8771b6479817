-- The products that are wrong on this replica: a change of theirs was given up, and the row is
-- still older than it. One more than the API can hold (WRONG_MAX), so that it can tell. By
-- subqueries, not joins: index look-ups, whatever the planner believes of the tables.
SELECT d.id
FROM (SELECT key[1]::uuid AS id, version FROM pgfanout.dead_letters WHERE "table" = 1 OFFSET 0) AS d
WHERE coalesce((SELECT p.version FROM products p WHERE p.id = d.id), -1) < d.version
	AND coalesce((SELECT t.version FROM pgfanout.tombstones_1 t WHERE t.id = d.id), -1)
		< d.version
LIMIT 10001
