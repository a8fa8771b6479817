-- The queues of the stream $1 exist from now on, so that one that is missing later was deleted.
UPDATE pgfanout.streams SET queues_declared_at = clock_timestamp()
WHERE stream = $1::smallint AND queues_declared_at IS NULL
