-- On a replica: what the primary knows of its queues ($1): [{"stream":…,"name":…,"due":…,"reason":…}]. A
-- reset at work holds a stream's row for long: then nothing is done, and the next look tries again.
WITH n AS MATERIALIZED (
	SELECT * FROM jsonb_to_recordset($1::jsonb)
		AS n (stream smallint, name text, due timestamptz, reason text)
), made AS (
	INSERT INTO pgfanout.streams (stream, name, needs_reset)
	SELECT stream, name, false FROM n
	WHERE stream NOT IN (SELECT s.stream FROM pgfanout.streams s) ON CONFLICT DO NOTHING
)
UPDATE pgfanout.streams AS r
SET queues_declared_at = coalesce(r.queues_declared_at, now()),
	needs_reset = r.needs_reset OR d.due, auto_reset = r.auto_reset OR d.due,
	reason = CASE WHEN d.due THEN d.why ELSE r.reason END,
	reset_due_at = CASE WHEN d.due THEN d.due_at ELSE r.reset_due_at END
FROM (
	SELECT s.stream, n.due AS due_at, n.reason AS why,
		coalesce(n.due > coalesce(s.reset_due_at, '-infinity'), false) AS due
	FROM n JOIN pgfanout.streams s ON s.stream = n.stream FOR UPDATE OF s SKIP LOCKED
) AS d
WHERE d.stream = r.stream AND (d.due OR r.queues_declared_at IS NULL)
