-- On a replica, before a reset makes a missing queue anew: if the reset fails, that the queue was
-- missing must not be forgotten.
UPDATE products_replication SET needs_reset = true, auto_reset = true, reason = 'a queue of it was missing when a reset began'
WHERE NOT (needs_reset AND auto_reset)
