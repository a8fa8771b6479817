-- Begins a term of the stream $1: a new number space for messages. The first row is the new term; then come the last
-- ones in which something was confirmed, newest first. A term's number grows also when the clock was
-- set back, and does not come again when the primary is restored from a backup.
WITH earlier AS MATERIALIZED (
	SELECT term, syncs, deletes FROM pgfanout.relay
	WHERE stream = $1::smallint AND (syncs > 0 OR deletes > 0)
	ORDER BY term DESC LIMIT 8
), gone AS (
	DELETE FROM pgfanout.relay
	WHERE stream = $1::smallint AND term NOT IN (SELECT term FROM earlier)
), begun AS (
	INSERT INTO pgfanout.relay (stream, term, syncs, deletes)
	SELECT $1::smallint, greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
		(SELECT max(term) + 1 FROM pgfanout.relay WHERE stream = $1::smallint)), 0, 0
	RETURNING term, syncs, deletes
)
SELECT term, syncs, deletes FROM (
	SELECT term, syncs, deletes FROM begun UNION ALL SELECT term, syncs, deletes FROM earlier
) terms
ORDER BY term DESC
