-- Change capture: every writer of products leaves a change record in its own transaction
-- (transactional outbox).
--
-- The rule, and why it is exact:
--   1. A change record is made AFTER the row was written, when the writer holds the row (or, for a
--      deleted id, its place in the unique index) until it commits. The next writer of the same id
--      can write only after that commit, so its record takes a later number from the sequence:
--      versions grow per product in commit order, in every isolation level. A number taken in a
--      BEFORE trigger or a default would be taken before the wait and could be older than the one
--      it waited for.
--   2. The record holds the product as it is in the table at that moment, not as the statement left
--      it: so other triggers that write products again, in whatever order they fire, cannot leave
--      an older state under a newer version. No row: a delete. In a REPEATABLE READ or SERIALIZABLE
--      transaction the snapshot may still show a product that somebody else has deleted since,
--      beside the one of the same id that this transaction has just inserted. Reading with a row
--      lock refuses the older one: SQLSTATE 40001.
--   3. The record holds the transaction's id. The relay reads what became visible between two
--      snapshots, and a replica that was reset from a snapshot knows which changes that snapshot
--      contained.
--   4. What leaves this server must be on its disk: if a crash lost a change, and its version, that
--      replicas have already, they would be ahead for good. So a transaction with
--      synchronous_commit = off, the default of subscriptions, waits for the disk once it has
--      changed products. (TRUNCATE always does.)
--
-- The functions see this schema and pg_catalog first, and temporary tables last: a session with a
-- temporary table products of its own must not turn changes into deletes. They ignore row security,
-- or fail where they may not: a row that is hidden from the owner would look deleted. jit = off:
-- with scans disabled a plan may seem expensive enough to be compiled on every call.
--
-- The sequence survives `down`, so that versions never go back. CACHE 1: a cached number would be
-- taken before its moment.
CREATE SEQUENCE IF NOT EXISTS products_version_seq AS bigint CACHE 1;
COMMENT ON SEQUENCE products_version_seq
	IS 'pgfanout: versions of products; never reset it, replicas ignore what is older';

CREATE TABLE IF NOT EXISTS products_outbox (
	xid        xid8   NOT NULL DEFAULT pg_current_xact_id(),
	version    bigint NOT NULL,
	id         uuid   NOT NULL,
	name       text, -- NULL: the product was deleted, and so are the columns below
	price      numeric,
	stock      integer,
	created_at timestamptz,
	updated_at timestamptz,
	-- not NULL: this is a heartbeat, no change; when the relay wrote it, to measure lag
	heartbeat  timestamptz,
	PRIMARY KEY (xid, version)
) WITH (
	autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
	autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
	autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000,
	autovacuum_vacuum_cost_delay = 0
);
COMMENT ON TABLE products_outbox
	IS 'pgfanout: changes of products that the broker has not confirmed yet; filled by '
		'triggers, emptied by the relay';

CREATE TABLE IF NOT EXISTS products_queues (
	replica      text        PRIMARY KEY,
	-- since then they have received all that was published
	declared_at  timestamptz NOT NULL DEFAULT now(),
	-- when changes for the replica were last found to be lost: only a reset from a later
	-- snapshot makes it complete
	reset_due_at timestamptz,
	reason       text         -- how they were lost
);
COMMENT ON TABLE products_queues
	IS 'pgfanout: the replicas whose queues have been declared, and which of them lost '
		'changes there; written by the relay';

-- What the relay has published, so that replicas notice what has not come: api/relay/publisher.c.
-- A row a term. It is replaced, by its whole key, and not updated: while an old snapshot keeps vacuum
-- from removing its versions, each update would have to step over all of them.
CREATE TABLE IF NOT EXISTS products_relay (
	-- when it began, in microseconds of Unix time, or one more than the last one
	term    bigint NOT NULL,
	-- in it, all messages with these numbers and smaller ones are confirmed by the broker
	syncs   bigint NOT NULL DEFAULT 0,
	deletes bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (term, syncs, deletes)
);
COMMENT ON TABLE products_relay
	IS 'pgfanout: the last terms of the relay, and how many messages of each kind the broker '
		'has confirmed in them';

-- Names the space that transaction ids belong to: ids of a restored dump mean something else than
-- those of its origin.
CREATE OR REPLACE FUNCTION products_source() RETURNS text
	LANGUAGE plpgsql STABLE SECURITY DEFINER
AS $$
BEGIN
	-- The database too: two installations may share a server.
	RETURN (SELECT system_identifier || '/' || d.oid FROM pg_control_system(), pg_database d
		WHERE d.datname = current_database());
EXCEPTION WHEN insufficient_privilege THEN
	RETURN 'table-' || 'products_outbox'::regclass::oid;
END $$;
COMMENT ON FUNCTION products_source() IS 'pgfanout: names this primary, whose transaction ids these are';

-- SECURITY DEFINER: a role that may write products need not know of the outbox. The planner
-- settings keep the cached plan at an index look-up for each changed row, whatever the first call
-- in a session looked like.
CREATE OR REPLACE FUNCTION products_capture_statement() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET row_security = off SET jit = off
	SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
	SET enable_material = off
AS $$
BEGIN
	IF current_setting('synchronous_commit') = 'off' THEN
		PERFORM set_config('synchronous_commit', 'local', true); -- in this transaction
	END IF;
	IF current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN
		INSERT INTO products_outbox
			(version, id, name, price, stock, created_at, updated_at)
		SELECT nextval('products_version_seq'), c.id, p.name, p.price, p.stock,
			p.created_at, p.updated_at
		FROM changed c LEFT JOIN products p ON p.id = c.id;
	ELSE
		INSERT INTO products_outbox
			(version, id, name, price, stock, created_at, updated_at)
		SELECT nextval('products_version_seq'), c.id, p.name, p.price, p.stock,
			p.created_at, p.updated_at
		FROM changed c LEFT JOIN LATERAL (
			SELECT * FROM products q WHERE q.id = c.id FOR KEY SHARE) p ON true;
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION products_capture_statement()
	IS 'pgfanout: records the products that a statement changed';

CREATE OR REPLACE FUNCTION products_capture_row() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET row_security = off SET jit = off
	SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
	changed uuid[];
BEGIN
	IF current_setting('synchronous_commit') = 'off' THEN
		PERFORM set_config('synchronous_commit', 'local', true); -- in this transaction
	END IF;
	IF TG_OP = 'INSERT' THEN
		changed := ARRAY[NEW.id];
	ELSIF TG_OP = 'DELETE' THEN
		changed := ARRAY[OLD.id];
	ELSIF OLD.id = NEW.id THEN
		changed := ARRAY[NEW.id];
	ELSE
		changed := ARRAY[OLD.id, NEW.id];
	END IF;
	IF current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN
		INSERT INTO products_outbox
			(version, id, name, price, stock, created_at, updated_at)
		SELECT nextval('products_version_seq'), c.id, p.name, p.price, p.stock,
			p.created_at, p.updated_at
		FROM unnest(changed) AS c (id) LEFT JOIN products p ON p.id = c.id;
	ELSE
		INSERT INTO products_outbox
			(version, id, name, price, stock, created_at, updated_at)
		SELECT nextval('products_version_seq'), c.id, p.name, p.price, p.stock,
			p.created_at, p.updated_at
		FROM unnest(changed) AS c (id)
		LEFT JOIN LATERAL (
			SELECT * FROM products q WHERE q.id = c.id FOR KEY SHARE) p ON true;
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION products_capture_row()
	IS 'pgfanout: records the products of one changed row: where ids change, and where '
		'rows are applied by logical replication';

-- TRUNCATE is a delete of every product. It is not transaction-safe for older snapshots: such a
-- transaction would not see, and so not record, what others have added since: it is refused.
CREATE OR REPLACE FUNCTION products_capture_truncate() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET row_security = off
AS $$
BEGIN
	IF current_setting('transaction_isolation')
		NOT IN ('read committed', 'read uncommitted')
	THEN
		RAISE EXCEPTION 'pgfanout cannot replicate TRUNCATE products in a % transaction',
			current_setting('transaction_isolation')
			USING ERRCODE = 'feature_not_supported',
			HINT = 'Use DELETE FROM products, or TRUNCATE in a READ COMMITTED '
				'transaction.';
	END IF;
	INSERT INTO products_outbox (version, id)
	SELECT nextval('products_version_seq'), id FROM products;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION products_capture_truncate() IS 'pgfanout: records a TRUNCATE as deletes';

DO $$
DECLARE
	f regprocedure;
BEGIN
	FOREACH f IN ARRAY ARRAY['products_source()', 'products_capture_statement()',
		'products_capture_row()',
		'products_capture_truncate()']::regprocedure[]
	LOOP
		EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', f,
			current_schema());
	END LOOP;
END $$;

-- This script is run again where capture is broken. Triggers of ours on another table are those of
-- one that was renamed, and another one is in its place.
DO $$
DECLARE
	g record;
BEGIN
	FOR g IN SELECT t.tgname, t.tgrelid FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
		WHERE f.proname LIKE 'products\_capture\_%' AND f.pronamespace = current_schema()::regnamespace
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', g.tgname, g.tgrelid::regclass);
	END LOOP;
END $$;
CREATE TRIGGER products_capture_insert AFTER INSERT ON products REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION products_capture_statement();
CREATE TRIGGER products_capture_update AFTER UPDATE ON products REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION products_capture_statement();
CREATE TRIGGER products_capture_delete AFTER DELETE ON products REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION products_capture_statement();
CREATE TRIGGER products_capture_moved AFTER UPDATE ON products
	FOR EACH ROW WHEN (OLD.id IS DISTINCT FROM NEW.id) EXECUTE FUNCTION products_capture_row();
CREATE TRIGGER products_capture_truncate BEFORE TRUNCATE ON products
	FOR EACH STATEMENT EXECUTE FUNCTION products_capture_truncate();
ALTER TABLE products ENABLE ALWAYS TRIGGER products_capture_truncate;

-- With session_replication_role = replica (logical replication into this primary, some loaders) the
-- triggers above do not fire, and logical replication fires row triggers only: this one fires then,
-- and only then.
CREATE TRIGGER products_capture_applied AFTER INSERT OR UPDATE OR DELETE ON products
	FOR EACH ROW EXECUTE FUNCTION products_capture_row();
ALTER TABLE products ENABLE REPLICA TRIGGER products_capture_applied;

-- What was written after `down` had dropped the triggers is recorded now: the rows whose last
-- writer is another transaction than then, and those that are gone. CREATE TRIGGER keeps out all
-- writers until this commits.
DO $$
BEGIN
	IF to_regclass('products_capture_paused') IS NOT NULL THEN
		INSERT INTO products_outbox
			(version, id, name, price, stock, created_at, updated_at)
		SELECT nextval('products_version_seq'), coalesce(p.id, b.id), p.name, p.price,
			p.stock, p.created_at, p.updated_at
		FROM products p FULL JOIN products_capture_paused b ON b.id = p.id
		WHERE p.xmin IS DISTINCT FROM b.written;
		DROP TABLE products_capture_paused;
	END IF;
END $$;

-- Capture can be taken apart: triggers disabled, the table replaced, columns rewritten. What it was
-- when it was whole is here; the API looks every second.
CREATE TABLE IF NOT EXISTS products_capture (
	only_row  boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
	columns   text        NOT NULL, -- products_columns() when pgfanout-migrate last looked
	-- when it was first seen not to be whole, and why: since some time before, changes may have
	-- been missed. Also where it is whole again: pgfanout-migrate up sees to the replicas.
	broken_at timestamptz,
	reason    text
);
COMMENT ON TABLE products_capture
	IS 'pgfanout: one row: the columns that are captured, and whether changes may have been '
		'missed';

CREATE OR REPLACE FUNCTION products_columns() RETURNS text
	LANGUAGE sql STABLE
AS $$
	SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attname)
	FROM pg_attribute
	WHERE attrelid = to_regclass('products') AND NOT attisdropped
		AND attname IN ('id', 'name', 'price', 'stock', 'created_at', 'updated_at')
$$;
COMMENT ON FUNCTION products_columns() IS 'pgfanout: names and types of the columns that are captured';

-- Why changes of products are, or may have been, missed; NULL: none is. Names are those that the
-- caller's session finds: another table in front of ours counts too. It is recorded as soon as
-- somebody has seen it; who may not record it, or on a standby, still gets the answer. Rows that are
-- hidden from the caller are a fault, but nothing has been missed.
CREATE OR REPLACE FUNCTION products_capture_fault() RETURNS text
	LANGUAGE plpgsql
AS $$
DECLARE
	found     regclass := to_regclass('products');
	fault     text;
	recorded  products_capture;
BEGIN
	SELECT * INTO recorded FROM products_capture;
	SELECT string_agg(f.what, '; ') INTO fault FROM (
		SELECT 'there is no table products' AS what WHERE found IS NULL
		UNION ALL
		SELECT 'products is no ordinary table' FROM pg_class
		WHERE oid = found AND relkind <> 'r'
		UNION ALL
		SELECT 'products inherits from a table, or is inherited from'
		WHERE EXISTS (SELECT FROM pg_inherits WHERE inhrelid = found OR inhparent = found)
		UNION ALL
		SELECT format('%s is UNLOGGED: a crash empties it', relname) FROM pg_class
		WHERE relpersistence <> 'p' AND oid IN (found, to_regclass('products_outbox'),
			to_regclass('products_queues'), to_regclass('products_capture'))
		UNION ALL
		SELECT format('its columns were (%s) and are (%s)', recorded.columns,
			products_columns())
		WHERE found IS NOT NULL AND products_columns() IS DISTINCT FROM recorded.columns
		UNION ALL
		SELECT format('column %I may be NULL', attname) FROM pg_attribute
		WHERE attrelid = found AND NOT attisdropped AND NOT attnotnull
			AND attname IN ('id', 'name', 'price', 'stock', 'created_at', 'updated_at')
		UNION ALL
		SELECT format('constraint %I is missing or not validated', w.name)
		FROM unnest('{products_name_check,products_price_check,products_stock_check,'
			'products_times_check}'::text[]) AS w (name)
		WHERE found IS NOT NULL AND NOT EXISTS (SELECT FROM pg_constraint k
			WHERE k.conrelid = found AND k.conname = w.name AND k.convalidated)
		UNION ALL
		SELECT 'ids are not unique at any time'
		WHERE found IS NOT NULL AND NOT EXISTS (
			SELECT FROM pg_index i
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'id'
			WHERE i.indrelid = found AND i.indisunique AND i.indisvalid
				AND i.indimmediate AND i.indpred IS NULL
				AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
		UNION ALL
		SELECT format('trigger %I is %s', w.name, CASE WHEN g.oid IS NULL THEN 'missing'
			WHEN g.tgenabled = 'D' THEN 'disabled' ELSE 'not as it was made' END)
		FROM (VALUES -- types: 1 row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate
			('products_capture_insert', 'O', 4, 'products_capture_statement'),
			('products_capture_update', 'O', 16, 'products_capture_statement'),
			('products_capture_delete', 'O', 8, 'products_capture_statement'),
			('products_capture_moved', 'O', 1 + 16, 'products_capture_row'),
			('products_capture_applied', 'R', 1 + 4 + 8 + 16, 'products_capture_row'),
			('products_capture_truncate', 'A', 2 + 32, 'products_capture_truncate'))
			AS w (name, enabled, type, function)
		LEFT JOIN pg_trigger g ON g.tgrelid = found AND g.tgname = w.name
		WHERE found IS NOT NULL AND (g.oid IS NULL OR g.tgenabled <> w.enabled::"char"
			OR g.tgtype <> w.type OR NOT EXISTS (SELECT FROM pg_proc p
				WHERE p.oid = g.tgfoid AND p.proname = w.function))
	) AS f;
	IF fault IS NOT NULL AND recorded.reason IS NULL THEN
		BEGIN
			UPDATE products_capture SET broken_at = clock_timestamp(), reason = fault
			WHERE reason IS NULL;
		EXCEPTION WHEN insufficient_privilege OR read_only_sql_transaction THEN
			NULL;
		END;
	END IF;
	IF fault IS NULL AND row_security_active(found) THEN
		fault := format('row level security hides rows of products from %I', current_user);
	END IF;
	RETURN coalesce(fault, 'changes were missed until some time after '
		|| to_char(recorded.broken_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
		|| ': ' || recorded.reason);
END $$;
COMMENT ON FUNCTION products_capture_fault()
	IS 'pgfanout: why changes of products may be missed; NULL: none is';

INSERT INTO products_capture (columns) VALUES (products_columns())
	ON CONFLICT (only_row) DO UPDATE SET columns = excluded.columns;
