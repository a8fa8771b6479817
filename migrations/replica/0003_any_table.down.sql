-- Only products are replicated from here on; copies of other tables stay as they are. What is known about
-- deleted products, dead letters and the last reset stays.
-- The scripts of the migrations before have just been run again, so that what they make is there. Their
-- empty tables give way to what has moved.
DROP TABLE products_tombstones, products_arrivals, products_received, products_heartbeats;
DELETE FROM products_replication;
DO $$
DECLARE
	here text := current_schema();
BEGIN
	DELETE FROM pgfanout.arrivals WHERE stream <> 1;
	DELETE FROM pgfanout.received WHERE stream <> 1;
	DELETE FROM pgfanout.heartbeats WHERE stream <> 1;
	ALTER TABLE pgfanout.arrivals DROP COLUMN stream;
	ALTER TABLE pgfanout.arrivals ADD CONSTRAINT products_arrivals_pkey PRIMARY KEY (number);
	ALTER TABLE pgfanout.received DROP COLUMN stream;
	ALTER TABLE pgfanout.received ADD CONSTRAINT products_received_pkey PRIMARY KEY (queue, term);
	ALTER TABLE pgfanout.heartbeats DROP COLUMN stream;
	ALTER TABLE pgfanout.heartbeats ADD CONSTRAINT products_heartbeats_pkey PRIMARY KEY (queue);
	ALTER TABLE pgfanout.arrivals RENAME TO products_arrivals;
	ALTER SEQUENCE pgfanout.arrivals_number_seq RENAME TO products_arrivals_number_seq;
	ALTER TABLE pgfanout.received RENAME TO products_received;
	ALTER TABLE pgfanout.heartbeats RENAME TO products_heartbeats;
	ALTER TABLE pgfanout.tombstones_1 RENAME TO products_tombstones;
	ALTER TABLE pgfanout.products_tombstones RENAME CONSTRAINT tombstones_1_pkey TO products_tombstones_pkey;
	EXECUTE format('ALTER TABLE pgfanout.products_arrivals SET SCHEMA %I', here);
	EXECUTE format('ALTER TABLE pgfanout.products_received SET SCHEMA %I', here);
	EXECUTE format('ALTER TABLE pgfanout.products_heartbeats SET SCHEMA %I', here);
	EXECUTE format('ALTER TABLE pgfanout.products_tombstones SET SCHEMA %I', here);
END $$;
INSERT INTO products_replication (needs_reset, reason, auto_reset, reset_due_at, queues_declared_at, source,
	snapshot, floor, reset_at, reset_rows, follows, followed, heartbeat_sync, heartbeat_delete, given, arrived)
SELECT s.needs_reset, s.reason, s.auto_reset, s.reset_due_at, s.queues_declared_at, t.source, t.snapshot,
	t.floor, s.reset_at, s.reset_rows, s.follows, s.followed, s.heartbeat_sync, s.heartbeat_delete, s.given,
	s.arrived
FROM pgfanout.streams s JOIN pgfanout.tables t ON t.id = 1 WHERE s.stream = 1;
INSERT INTO products_dead_letters
	SELECT key[1]::uuid, version, queue, error, died_at FROM pgfanout.dead_letters WHERE "table" = 1;
DROP SCHEMA pgfanout CASCADE;
