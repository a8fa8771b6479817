-- How many rows of the stream $1 are known to be wrong on this replica; more than 10000 are not counted. And
-- how many changes wait there for others.
SELECT (SELECT count(*) FROM (
	SELECT FROM pgfanout.dead_letters d
	WHERE d."table" IN (SELECT t.id FROM pgfanout.tables t WHERE t.stream = $1::smallint) LIMIT 10000
) AS w), (SELECT count(*) FROM pgfanout.waiting w WHERE w.stream = $1::smallint)
