-- From now on this replica may lack changes, until reset-replicas has run.
UPDATE products_replication SET needs_reset = true, reason = $1::text
