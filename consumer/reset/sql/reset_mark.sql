-- On a replica, before a reset declares a missing queue again: if the reset fails, it is still
-- known that the queue was missing.
UPDATE products_replication SET needs_reset = true, auto_reset = true,
	reason = 'a queue of it was missing when a reset began'
WHERE NOT (needs_reset AND auto_reset)
