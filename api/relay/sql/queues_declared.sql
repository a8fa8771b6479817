-- On the primary: the queues of this replica exist from now on, so that one that is missing later
-- was deleted.
INSERT INTO products_queues (replica) VALUES ($1::text) ON CONFLICT (replica) DO NOTHING
