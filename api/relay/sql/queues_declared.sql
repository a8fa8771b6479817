-- On the primary: the queues of these replicas exist from now on, so that one that is missing later
-- was deleted.
INSERT INTO products_queues (replica) SELECT unnest($1::text[]) ON CONFLICT (replica) DO NOTHING
