-- The newest mark of each stream of a replica.
SELECT s.stream, p.lsn
FROM pgfanout.streams s
CROSS JOIN LATERAL (
	SELECT lsn FROM pgfanout.positions p WHERE p.stream = s.stream ORDER BY p.stream DESC, p.lsn DESC LIMIT 1
) AS p
