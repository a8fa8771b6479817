-- On a replica: what the primary knows of its queues ($1: reset_due_at, $2: reason). A reset at
-- work holds the row for long: then nothing is done, and the next look tries again.
UPDATE products_replication AS r
SET queues_declared_at = coalesce(r.queues_declared_at, now()),
	needs_reset = r.needs_reset OR d.due, auto_reset = r.auto_reset OR d.due,
	reason = CASE WHEN d.due THEN $2::text ELSE r.reason END,
	reset_due_at = CASE WHEN d.due THEN $1::timestamptz ELSE r.reset_due_at END
FROM (
	SELECT only_row,
		coalesce($1::timestamptz > coalesce(reset_due_at, '-infinity'), false) AS due
	FROM products_replication FOR UPDATE SKIP LOCKED
) AS d
WHERE d.only_row = r.only_row
