-- From now on this replica may lack changes, until it has been reset.
UPDATE products_replication SET needs_reset = true, auto_reset = true, reason = $1::text
