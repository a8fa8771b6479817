-- A heartbeat: a record that goes the way of all changes, and so measures it. statement_timestamp() was taken before this transaction
-- got its id: whatever was committed before that time has a smaller id, or was swept already, and is in front of the heartbeat.
INSERT INTO products_outbox (version, id, heartbeat)
VALUES (nextval('products_version_seq'), '00000000-0000-0000-0000-000000000000', statement_timestamp())
