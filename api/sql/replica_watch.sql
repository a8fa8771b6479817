-- Whether a replica may serve reads, given what the primary knows of its queues ($1: reset_due_at, $2: reason); and whether that is yet to
-- be noted there.
SELECT needs_reset OR due, CASE WHEN due THEN $2::text ELSE coalesce(reason, '') END, due OR queues_declared_at IS NULL
FROM (
	SELECT *, coalesce($1::timestamptz > coalesce(reset_due_at, '-infinity'), false) AS due FROM products_replication
) AS r
