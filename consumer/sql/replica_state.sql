-- Whether this replica is complete, and if not, why.
SELECT needs_reset::int, coalesce(reason, '') FROM products_replication
