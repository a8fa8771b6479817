-- What a replica needs to apply changes in any order, any number of times.
CREATE TABLE IF NOT EXISTS products_tombstones (
	id      uuid   PRIMARY KEY,
	version bigint NOT NULL
);
COMMENT ON TABLE products_tombstones
	IS 'pgfanout: deleted products and the version they were deleted at, so that an older '
		'message cannot bring them back; emptied by a reset';

CREATE TABLE IF NOT EXISTS products_replication (
	only_row    boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
	needs_reset boolean     NOT NULL,
	reason      text,                      -- why it needs a reset
	-- it lost changes in its queues, so the consumer may reset it by itself
	auto_reset  boolean     NOT NULL DEFAULT false,
	-- the newest products_queues.reset_due_at of the primary that is dealt with here
	reset_due_at       timestamptz,
	-- since then its queues exist; if one is missing it was deleted
	queues_declared_at timestamptz,
	-- of the last reset's snapshot: products_source() of the primary
	source      text,
	-- the snapshot itself: changes by transactions visible in it are in the table
	snapshot    pg_snapshot,
	-- the newest version at that time, for messages that do not name their transaction
	floor       bigint      NOT NULL DEFAULT 0,
	reset_at    timestamptz,
	reset_rows  bigint,
	-- products_source() of the primary whose changes it takes; null: it was never complete
	follows     text,
	-- those that it followed before, until a reset: what is left of theirs in the queues is stale
	followed    text[]      NOT NULL DEFAULT '{}',
	-- newest heartbeats of the primary that came through the sync and the delete queue, and
	-- found all there that they named: all that was committed before the older one is here
	heartbeat_sync   timestamptz,
	heartbeat_delete timestamptz,
	-- the newest version that the primary had given out, as far as heartbeats or a reset said
	given       bigint,
	-- the last row of products_arrivals that products_received has
	arrived     bigint      NOT NULL DEFAULT 0
);
COMMENT ON TABLE products_replication
	IS 'pgfanout: one row: whether this replica is complete, and the snapshot it was last '
		'reset from';
CREATE TABLE IF NOT EXISTS products_dead_letters (
	id      uuid        PRIMARY KEY,
	version bigint      NOT NULL,
	queue   text        NOT NULL,
	error   text        NOT NULL,
	died_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE products_dead_letters
	IS 'pgfanout: products that are wrong on this replica, because a change of theirs was '
		'given up; cured by a newer change, a replay, a repair or a reset';

-- Which messages have come. A row for each batch, and not an update of one row: while an old snapshot
-- keeps vacuum from removing its versions, each update would have to step over all of them.
CREATE TABLE IF NOT EXISTS products_arrivals (
	number bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	runs   bigint[] NOT NULL -- as products_apply() takes them
);
COMMENT ON TABLE products_arrivals
	IS 'pgfanout: numbers of messages that came since the last heartbeat';
COMMENT ON SEQUENCE products_arrivals_number_seq
	IS 'pgfanout: numbers the rows of products_arrivals';
CREATE TABLE IF NOT EXISTS products_received (
	queue   text           NOT NULL CHECK (queue IN ('sync', 'delete')),
	term    bigint         NOT NULL,
	numbers int8multirange NOT NULL,              -- that came, or that a reset made good
	missing int8multirange NOT NULL DEFAULT '{}', -- that a heartbeat named, and that did not
	PRIMARY KEY (queue, term)
);
COMMENT ON TABLE products_received
	IS 'pgfanout: which of the messages that the relay has counted have come, in its last terms';
CREATE TABLE IF NOT EXISTS products_heartbeats (
	queue   text   PRIMARY KEY CHECK (queue IN ('sync', 'delete')),
	term    bigint NOT NULL, -- these two: of the newest heartbeat that came
	xid     xid8   NOT NULL,
	waiting timestamptz,     -- of a heartbeat that named messages which have not come yet
	since   timestamptz      -- when that one came, or the last of those messages
);
COMMENT ON TABLE products_heartbeats
	IS 'pgfanout: the newest heartbeat of each queue, and one that waits for messages';

-- A replica is complete from the start only if the primary was empty then; pgfanout-migrate checks.
INSERT INTO products_replication (needs_reset, reason)
	VALUES (true, 'it has never been loaded from the primary')
	ON CONFLICT DO NOTHING;

-- Whether the snapshot of the last reset contains a change, so that it is stale here: if the change
-- names a transaction of the same source, that decides, else its version. A single expression
-- without settings of its own, so the planner puts it in the place of the call.
CREATE FUNCTION products_stale(change_xid xid8, change_version bigint, change_source text,
	reset_source text, reset_snapshot pg_snapshot, reset_floor bigint) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN change_xid <> '0'::xid8 AND change_source = reset_source
		THEN pg_visible_in_snapshot(change_xid, reset_snapshot)
		ELSE change_version <= reset_floor END;
COMMENT ON FUNCTION products_stale(xid8, bigint, text, text, pg_snapshot, bigint)
	IS 'pgfanout: whether the last reset''s snapshot contains a change';

-- Adds the products that are not there. all_new: the caller expects that none is, so none is looked
-- up; if one is there after all, the unique index refuses it (SQLSTATE 23505). A row that is there
-- is newer than its tombstone. If somebody else adds the same product at the same time, the batch
-- fails, and finds it there at the next attempt. Arrays are unnested in the SELECT list, in step:
-- in FROM each of them would first become a table of its own. OFFSET 0: otherwise the planner could
-- choose to hash the whole table, and keep that plan while the table grows.
CREATE FUNCTION products_apply_new(state products_replication, buried boolean, all_new boolean,
	msg_source text, ids uuid[], versions bigint[], xids xid8[], deleted boolean[],
	names text[], prices text[], stocks integer[], created timestamptz[], updated timestamptz[])
	RETURNS bigint
	LANGUAGE plpgsql
AS $$
DECLARE
	n bigint;
BEGIN
	INSERT INTO products (id, name, price, stock, created_at, updated_at, version)
	SELECT m.id, m.name, m.price::numeric, m.stock, m.created_at, m.updated_at, m.version
	FROM (SELECT unnest(ids) AS id, unnest(versions) AS version, unnest(xids) AS xid,
		unnest(deleted) AS deleted, unnest(names) AS name, unnest(prices) AS price,
		unnest(stocks) AS stock, unnest(created) AS created_at,
		unnest(updated) AS updated_at) AS m
	WHERE NOT m.deleted
		AND CASE WHEN all_new THEN true
			ELSE NOT EXISTS (SELECT FROM products p WHERE p.id = m.id OFFSET 0) END
		AND CASE WHEN buried THEN coalesce((SELECT t.version FROM products_tombstones t
			WHERE t.id = m.id) < m.version, true) ELSE true END
		AND NOT products_stale(m.xid, m.version, msg_source, state.source, state.snapshot,
			state.floor);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END $$;
COMMENT ON FUNCTION products_apply_new(products_replication, boolean, boolean, text, uuid[],
	bigint[], xid8[], boolean[], text[], text[], integer[], timestamptz[], timestamptz[])
	IS 'pgfanout: part of products_apply()';

-- Takes in heartbeats. One says how many messages the broker had confirmed before it was put into the
-- queue: so all of them were in this queue before it, and have come, unless somebody removed the
-- binding, purged the queue, or lets the broker expire, bound or park messages; or unless this
-- server was restored from a backup. The rule, for each queue by itself:
--
--   1. A heartbeat that is older than the newest one that came says nothing; nor does one that the
--      snapshot of the last reset is later than. Older by term and transaction: the primary's clock
--      may have been set back.
--   2. It counts if all the messages that it names have come. If not, it waits: another consumer may
--      be at work on them, or somebody holds one in the RabbitMQ UI. While it waits, the next ones
--      change nothing, so this replica falls behind, and reads avoid it.
--   3. When it counts later because they came, the next one is judged anew.
--   4. When one comes 3 s after that, or after the last time that some of them came, and others are
--      still not here, they are lost: the replica is marked as needing a reset, and they are taken
--      for received. The next snapshot has them.
--
-- Messages come again and in any order; only their number counts. What is named includes nothing that
-- was published before a replica's queues were there: it is new then, and empty as the primary was,
-- or its reset has taken over the primary's counts (reset_record.sql).
CREATE FUNCTION products_beat(beats jsonb, state products_replication, msg_source text)
	RETURNS void
	LANGUAGE plpgsql
AS $$
DECLARE
	b       record;
	fresh   boolean;
	lost    numeric;
	counted timestamptz;
	n       bigint;
BEGIN
	WITH taken AS (
		DELETE FROM products_arrivals WHERE number > state.arrived RETURNING number, runs
	), came AS (
		SELECT CASE t.runs[i] WHEN 0 THEN 'sync' ELSE 'delete' END AS queue,
			t.runs[i + 1] AS term, int8range(t.runs[i + 2], t.runs[i + 3], '[]') AS range
		FROM taken t, generate_series(1, cardinality(t.runs), 4) AS i
	), received AS (
		INSERT INTO products_received AS r (queue, term, numbers)
		SELECT queue, term, range_agg(range) FROM came
		GROUP BY queue, term
		ON CONFLICT (queue, term) DO UPDATE SET numbers = r.numbers + excluded.numbers,
			missing = r.missing - excluded.numbers
	), at_work AS (
		UPDATE products_heartbeats h SET since = clock_timestamp()
		WHERE h.waiting IS NOT NULL AND EXISTS (SELECT FROM came c
			JOIN products_received r ON r.queue = c.queue AND r.term = c.term
			WHERE c.queue = h.queue AND r.missing && c.range)
	)
	UPDATE products_replication SET arrived = (SELECT max(number) FROM taken)
	WHERE EXISTS (SELECT FROM taken);

	FOR b IN
		SELECT m.*, h.waiting, h.since, h.term AS last_term, h.xid AS last_xid
		FROM jsonb_to_recordset(beats) AS m (queue text, at timestamptz, version bigint,
			term bigint, xid xid8, terms jsonb)
		LEFT JOIN products_heartbeats h ON h.queue = m.queue
	LOOP
		fresh := coalesce((b.term, b.xid) > (b.last_term, b.last_xid), true) -- 1
			AND coalesce(msg_source <> state.source OR b.xid = '0'
				OR NOT pg_visible_in_snapshot(b.xid, state.snapshot), true);
		CONTINUE WHEN NOT fresh;
		counted := NULL;
		IF b.waiting IS NOT NULL THEN
			SELECT sum(upper(m.range) - lower(m.range)) INTO lost
			FROM products_received r CROSS JOIN unnest(r.missing) AS m (range)
			WHERE r.queue = b.queue;
			IF lost IS NULL THEN -- 3
				counted := b.waiting;
				b.waiting := NULL;
			ELSIF clock_timestamp() > b.since + interval '3 seconds' THEN -- 4
				UPDATE products_replication SET needs_reset = true,
					auto_reset = true,
					reason = format('%s messages that were published have '
						'not come through its %s queue: a binding was '
						'removed, the queue was purged, or a policy '
						'expires or drops messages', lost, b.queue)
				WHERE NOT needs_reset;
				UPDATE products_received SET numbers = numbers + missing,
					missing = '{}'
				WHERE queue = b.queue AND NOT isempty(missing);
				b.waiting := NULL;
			END IF;
		END IF;
		IF b.waiting IS NULL THEN -- 2
			DELETE FROM products_received WHERE queue = b.queue AND term <
				(SELECT min(t.term) FROM jsonb_to_recordset(b.terms) AS t (term bigint));
			INSERT INTO products_received (queue, term, numbers, missing)
			SELECT b.queue, t.term, coalesce(r.numbers, '{}'),
				int8multirange(int8range(1, t.messages, '[]'))
					- coalesce(r.numbers, '{}')
			FROM jsonb_to_recordset(b.terms) AS t (term bigint, messages bigint)
			LEFT JOIN products_received r ON r.queue = b.queue AND r.term = t.term
			WHERE t.messages > 0 AND NOT coalesce(r.numbers, '{}')
				@> int8range(1, t.messages, '[]')
			ON CONFLICT (queue, term) DO UPDATE SET missing = excluded.missing;
			GET DIAGNOSTICS n = ROW_COUNT;
			IF n = 0 THEN
				counted := b.at;
			ELSE
				b.waiting := b.at;
				b.since := clock_timestamp();
			END IF;
		END IF;
		INSERT INTO products_heartbeats AS h (queue, term, xid, waiting, since)
		VALUES (b.queue, b.term, b.xid, b.waiting, b.since)
		ON CONFLICT (queue) DO UPDATE SET term = excluded.term, xid = excluded.xid,
			waiting = excluded.waiting, since = excluded.since;
		UPDATE products_replication SET given = b.version,
			heartbeat_sync = CASE WHEN b.queue = 'sync'
				THEN coalesce(counted, heartbeat_sync) ELSE heartbeat_sync END,
			heartbeat_delete = CASE WHEN b.queue = 'delete'
				THEN coalesce(counted, heartbeat_delete) ELSE heartbeat_delete END;
	END LOOP;
END $$;
COMMENT ON FUNCTION products_beat(jsonb, products_replication, text)
	IS 'pgfanout: part of products_apply(): heartbeats, and whether all that they name has come';

-- A version that is so much above what the primary had given out is none of its versions, however
-- long ago that was: a million a second make it in twelve days without a heartbeat, and a billion
-- a day in three years.
CREATE FUNCTION products_impossible(change_version bigint, given bigint) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN change_version - 1099511627776 > given;
COMMENT ON FUNCTION products_impossible(bigint, bigint)
	IS 'pgfanout: whether the primary cannot have given out a version';

-- Applies a batch: one element a product (the newest change of it), in one transaction, and says
-- how many changed something.
--
--   1. While a reset of this replica runs (advisory lock 1885824609/1), nothing is applied:
--      SQLSTATE PF001.
--   2. Batches of one replica run one after another (advisory lock 1885824609/2), whoever sends
--      them: what one deleted the next one sees.
--   3. A change that the snapshot of the last reset contains is stale: products_stale().
--   4. A change that is not newer than the row or the tombstone is stale.
--   5. A delete leaves a tombstone, also where there is no row yet: the sync may come later.
--   6. A product whose change was given up is right again when that change or a newer one has come;
--      every one is newer than one with an impossible version.
--   7. An impossible version (products_impossible()) is refused: it would turn away every change to
--      come. `newest` is the newest of the versions, if the caller knows it.
--   8. Messages and heartbeats that came with the batch count when it is committed. `runs`: four
--      numbers for each run of messages: 0 for the sync queue and 1 for the other one, the term,
--      the first and the last number. `beats`: [{"queue":"sync","at":…,"version":…,"term":…,
--      "xid":…,"terms":[{"term":…,"messages":7}]}]
--   9. Changes and heartbeats of a primary that this replica does not follow are not applied:
--      SQLSTATE PF002. If it followed that one until a reset, they are stale.
--
-- READ COMMITTED only: the waits of 1 and 2 come before the reads, and an older snapshot would miss
-- what they waited for.
CREATE FUNCTION products_apply(msg_source text, ids uuid[], versions bigint[], xids xid8[],
	deleted boolean[], names text[], prices text[], stocks integer[],
	created timestamptz[], updated timestamptz[],
	runs bigint[] DEFAULT NULL, beats jsonb DEFAULT NULL, newest bigint DEFAULT NULL)
	RETURNS bigint
	LANGUAGE plpgsql
AS $$
DECLARE
	state   products_replication;
	buried  boolean;
	wrong   boolean;
	changed bigint;
	n       bigint;
BEGIN
	IF NOT pg_try_advisory_xact_lock_shared(1885824609, 1) THEN
		RAISE EXCEPTION 'the replica is being reset' USING ERRCODE = 'PF001';
	END IF;
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'products_apply() needs a READ COMMITTED transaction'
			USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	PERFORM pg_advisory_xact_lock(1885824609, 2);
	SELECT r.source, r.snapshot, r.floor, r.given, r.arrived, r.follows,
		EXISTS (SELECT FROM products_tombstones), EXISTS (SELECT FROM products_dead_letters)
	INTO state.source, state.snapshot, state.floor, state.given, state.arrived, state.follows,
		buried, wrong
	FROM products_replication r;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'products_replication has lost its row'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'Run reset-replicas for this replica.';
	END IF;
	IF msg_source <> '' AND msg_source <> state.follows THEN
		IF msg_source = ANY (ARRAY(SELECT unnest(r.followed) FROM products_replication r)) THEN
			RETURN 0;
		END IF;
		RAISE EXCEPTION 'changes of another primary: their source is %, this replica follows %',
			msg_source, state.follows USING ERRCODE = 'PF002',
			HINT = 'Give each installation a virtual host or a QUEUE_PREFIX of its own. If '
				'the primary was replaced, run reset-replicas.';
	END IF;
	IF newest IS NULL THEN
		newest := (SELECT max(v) FROM unnest(versions) AS v);
	END IF;
	IF products_impossible(newest, state.given) THEN
		RAISE EXCEPTION 'version % is above all that the primary can have given out (%)',
			newest, state.given USING ERRCODE = 'numeric_value_out_of_range';
	END IF;

	-- New products by a plain INSERT, which costs half of ON CONFLICT. Many products that were
	-- never updated are probably all new. If not, probably none is, and the first one fails. At
	-- worst only the last one is there, and all others are inserted twice.
	IF created = updated AND cardinality(ids) >= 50 THEN
		BEGIN
			changed := products_apply_new(state, buried, true, msg_source, ids,
				versions, xids, deleted, names, prices, stocks, created, updated);
		EXCEPTION WHEN unique_violation THEN
			changed := NULL;
		END;
	END IF;
	IF changed IS NULL THEN
		changed := products_apply_new(state, buried, false, msg_source, ids, versions, xids,
			deleted, names, prices, stocks, created, updated);
	END IF;

	IF changed < cardinality(ids) THEN
		UPDATE products AS p SET name = m.name, price = m.price::numeric, stock = m.stock,
			created_at = m.created_at, updated_at = m.updated_at, version = m.version
		FROM (SELECT unnest(ids) AS id, unnest(versions) AS version, unnest(xids) AS xid,
			unnest(deleted) AS deleted, unnest(names) AS name, unnest(prices) AS price,
			unnest(stocks) AS stock, unnest(created) AS created_at,
			unnest(updated) AS updated_at) AS m
		WHERE p.id = m.id AND NOT m.deleted AND p.version < m.version
			AND NOT products_stale(m.xid, m.version, msg_source, state.source,
				state.snapshot, state.floor);
		GET DIAGNOSTICS n = ROW_COUNT;
		changed := changed + n;
	END IF;

	IF true = ANY (deleted) THEN
		WITH gone AS (
			SELECT m.id, m.version
			FROM unnest(ids, versions, xids, deleted) AS m (id, version, xid, deleted)
			LEFT JOIN products p ON p.id = m.id
			WHERE m.deleted AND (p.version IS NULL OR p.version < m.version)
				AND NOT products_stale(m.xid, m.version, msg_source, state.source,
					state.snapshot, state.floor)
		), buried AS (
			INSERT INTO products_tombstones AS t (id, version)
			SELECT g.id, g.version FROM gone g
			ON CONFLICT (id) DO UPDATE SET version = excluded.version
				WHERE t.version < excluded.version
			RETURNING t.id
		)
		DELETE FROM products p USING gone g WHERE p.id = g.id;
		GET DIAGNOSTICS n = ROW_COUNT;
		changed := changed + n;
	END IF;

	IF wrong THEN
		DELETE FROM products_dead_letters d USING unnest(ids, versions) AS m (id, version)
		WHERE d.id = m.id AND (d.version <= m.version
			OR products_impossible(d.version, state.given));
	END IF;
	IF runs IS NOT NULL THEN
		INSERT INTO products_arrivals (runs) VALUES (runs);
	END IF;
	IF beats IS NOT NULL THEN
		PERFORM products_beat(beats, state, msg_source);
	END IF;
	RETURN changed;
END $$;
COMMENT ON FUNCTION products_apply(text, uuid[], bigint[], xid8[], boolean[], text[], text[],
	integer[], timestamptz[], timestamptz[], bigint[], jsonb, bigint)
	IS 'pgfanout: applies a batch of changes, newest version wins';
DO $$
BEGIN
	-- Temporary tables last, whoever calls.
	EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp',
		'products_apply'::regproc::oid::regprocedure, current_schema());
END $$;

-- Why rows of this replica may be lost or not be what was sent, whatever products_replication says;
-- NULL: they are not. Whoever sees it first records that the replica needs a reset, so that it still
-- does when the table looks right again: a crash may have emptied it meanwhile. While a reset holds
-- the row nothing is recorded.
CREATE FUNCTION products_replica_fault() RETURNS text
	LANGUAGE plpgsql
AS $$
DECLARE
	fault text;
BEGIN
	SELECT string_agg(f.what, '; ') INTO fault FROM (
		SELECT format('table %I is UNLOGGED: a crash empties it', relname) AS what
		FROM pg_class
		WHERE relpersistence <> 'p' AND oid IN (to_regclass('products'),
			to_regclass('products_tombstones'), to_regclass('products_replication'),
			to_regclass('products_dead_letters'))
		UNION ALL
		SELECT format('column %I of products rounds what is sent: it is %s, not %s',
			a.attname, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, -1))
		FROM pg_attribute a
		WHERE a.attrelid = to_regclass('products') AND NOT a.attisdropped
			AND a.attname IN ('price', 'created_at', 'updated_at') AND a.atttypmod <> -1
	) AS f;
	IF fault IS NOT NULL THEN
		BEGIN
			UPDATE products_replication SET needs_reset = true, auto_reset = true,
				reason = fault
			WHERE only_row IN (SELECT only_row FROM products_replication
				WHERE NOT needs_reset FOR UPDATE SKIP LOCKED);
		EXCEPTION WHEN insufficient_privilege OR read_only_sql_transaction THEN
			NULL;
		END;
	END IF;
	RETURN fault;
END $$;
COMMENT ON FUNCTION products_replica_fault()
	IS 'pgfanout: why rows of this replica may be lost or rounded; NULL: they are not';
