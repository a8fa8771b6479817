-- Whether a replica may serve reads.
SELECT needs_reset, coalesce(reason, '') FROM products_replication
