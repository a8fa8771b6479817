-- What is known about deleted products and the last reset stays.
DROP FUNCTION IF EXISTS products_apply(text, uuid[], bigint[], xid8[], boolean[], text[], text[],
	integer[], timestamptz[], timestamptz[], bigint[], jsonb, bigint);
DROP FUNCTION IF EXISTS products_beat(jsonb, products_replication, text);
DROP FUNCTION IF EXISTS products_impossible(bigint, bigint);
DROP FUNCTION IF EXISTS products_apply_new(products_replication, boolean, boolean, text, uuid[],
	bigint[], xid8[], boolean[], text[], text[],
	integer[], timestamptz[], timestamptz[]);
DROP FUNCTION IF EXISTS products_stale(xid8, bigint, text, text, pg_snapshot, bigint);
DROP FUNCTION IF EXISTS products_replica_fault();
