-- Only products are recorded from here on, as migration 2 does it; other tables are no longer
-- registered, and their copies on the replicas stay as they are.
-- Products' changes that wait for the broker stay, and so does the sequence: versions never go back.
-- The scripts of the migrations before have just been run again, so that what they make is there. Their
-- empty tables give way to what has moved.
SELECT pgfanout.capture_fault(1, to_regclass('products'));
LOCK TABLE products IN ACCESS EXCLUSIVE MODE;
UPDATE products_capture SET broken_at = r.broken_at, reason = r.reason
	FROM pgfanout.registered r WHERE r.id = 1;
DROP SEQUENCE products_version_seq;
DROP TABLE products_outbox, products_queues, products_relay;
DO $$
BEGIN
	DELETE FROM pgfanout.queues WHERE stream <> 1;
	DELETE FROM pgfanout.relay WHERE stream <> 1;
	ALTER TABLE pgfanout.queues DROP COLUMN stream;
	ALTER TABLE pgfanout.queues ADD CONSTRAINT products_queues_pkey PRIMARY KEY (replica);
	ALTER TABLE pgfanout.relay DROP COLUMN stream;
	ALTER TABLE pgfanout.relay ADD CONSTRAINT products_relay_pkey PRIMARY KEY (term, syncs, deletes);
	ALTER TABLE pgfanout.queues RENAME TO products_queues;
	ALTER TABLE pgfanout.relay RENAME TO products_relay;
	ALTER TABLE pgfanout.origin RENAME TO products_outbox;
	ALTER SEQUENCE pgfanout.version_seq RENAME TO products_version_seq;
	EXECUTE format('ALTER TABLE pgfanout.products_queues SET SCHEMA %I', current_schema());
	EXECUTE format('ALTER TABLE pgfanout.products_relay SET SCHEMA %I', current_schema());
	EXECUTE format('ALTER TABLE pgfanout.products_outbox SET SCHEMA %I', current_schema());
	EXECUTE format('ALTER SEQUENCE pgfanout.products_version_seq SET SCHEMA %I', current_schema());
END $$;
INSERT INTO products_outbox (xid, version, id, name, price, stock, created_at, updated_at)
SELECT o.xid, o.version, (r.row ->> 'id')::uuid, r.row ->> 'name', (r.row ->> 'price')::numeric,
	(r.row ->> 'stock')::integer, (r.row ->> 'createdAt')::timestamptz,
	(r.row ->> 'updatedAt')::timestamptz
FROM pgfanout.outbox o CROSS JOIN LATERAL (SELECT pgfanout.row_of(o) AS row) r
WHERE o.stream = 1 AND o.kind <> 'b';
DROP SCHEMA pgfanout CASCADE;
