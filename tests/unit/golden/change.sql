ALTER TABLE public.t DROP COLUMN IF EXISTS "gone";
ALTER TABLE public.t RENAME COLUMN "id" TO "pgfanout_renamed_1";
ALTER TABLE public.t RENAME COLUMN "a" TO "pgfanout_renamed_2";
ALTER TABLE public.t RENAME COLUMN "b" TO "pgfanout_renamed_3";
ALTER TABLE public.t RENAME COLUMN "pgfanout_renamed_1" TO "no";
ALTER TABLE public.t RENAME COLUMN "pgfanout_renamed_2" TO "b";
ALTER TABLE public.t RENAME COLUMN "pgfanout_renamed_3" TO "a";
ALTER TABLE public.t DROP COLUMN "a";
ALTER TABLE public.t ADD COLUMN IF NOT EXISTS "a" character varying(9);
ALTER TABLE public.t DROP COLUMN "n";
ALTER TABLE public.t ADD COLUMN IF NOT EXISTS "n" bigint;
ALTER TABLE public.t DROP COLUMN "m";
ALTER TABLE public.t ADD COLUMN IF NOT EXISTS "m" text;
ALTER TABLE public.t ADD COLUMN IF NOT EXISTS "new" inet;
ALTER TABLE pgfanout.tombstones_9 RENAME COLUMN "id" TO "pgfanout_renamed_1";
ALTER TABLE pgfanout.tombstones_9 RENAME COLUMN "pgfanout_renamed_1" TO "no";
ALTER TABLE public.t SET SCHEMA "else";
ALTER TABLE "else"."t" RENAME TO "u";
DO $pgfanout$ BEGIN
	CREATE TYPE pgfanout.columns_30 AS (c1 integer[], c2 text[], c3 text[], c4 text[], c5 integer[], c6 integer[]);
EXCEPTION WHEN duplicate_object THEN NULL; END $pgfanout$;
DROP FUNCTION IF EXISTS pgfanout.apply_30(text, bigint[], xid8[], boolean[], pgfanout.columns_30,
	boolean, bigint[], jsonb, bigint);
CREATE OR REPLACE FUNCTION pgfanout.apply_30(msg_source text, versions bigint[], xids xid8[],
	deleted boolean[], cols pgfanout.columns_30, all_new boolean, runs bigint[],
	beats jsonb, newest bigint, lsn bigint DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $pgfanout$
#variable_conflict use_variable
DECLARE
	given         bigint;
	follows       text;
	load_source   text;
	load_snapshot pg_snapshot;
	load_floor    bigint;
	load_truncated bigint;
	buried        boolean;
	earlier       boolean;
	wrong         boolean;
	changed       bigint;
	n             bigint;
BEGIN
	IF NOT pg_try_advisory_xact_lock_shared(1885824610, 2) THEN
		RAISE EXCEPTION 'the replica is being reset' USING ERRCODE = 'PF001';
	END IF;
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'changes are applied in READ COMMITTED transactions only'
			USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	PERFORM pg_advisory_xact_lock(1885824611, 2);
	SELECT s.given, s.follows, t.source, t.snapshot, t.floor, t.truncated,
		EXISTS (SELECT FROM pgfanout.tombstones_9),
		EXISTS (SELECT FROM pgfanout.dead_letters d WHERE d."table" = 9 AND NOT d.waiting)
	INTO given, follows, load_source, load_snapshot, load_floor, load_truncated, buried, wrong
	FROM pgfanout.streams s JOIN pgfanout.tables t ON t.id = 9 WHERE s.stream = 2;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'pgfanout.streams or pgfanout.tables has lost a row'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'Run reset-replicas for this replica.';
	END IF;
	IF msg_source <> '' AND msg_source <> follows THEN
		IF pgfanout.succeeds(msg_source, follows) THEN
			PERFORM pgfanout.follow_successor(2::smallint, msg_source, false);
			follows := msg_source;
		ELSIF pgfanout.succeeds(follows, msg_source) THEN
			beats := NULL;
			earlier := true;
		ELSIF msg_source = ANY (ARRAY(SELECT unnest(s.followed) FROM pgfanout.streams s
			WHERE s.stream = 2))
		THEN
			RETURN 0;
		ELSE
			RAISE EXCEPTION 'changes of another primary: their source is %, this replica follows %',
				msg_source, follows USING ERRCODE = 'PF002',
				HINT = 'Give each installation a virtual host or a QUEUE_PREFIX of its own. If '
					'the primary was replaced, run reset-replicas.';
		END IF;
	END IF;
	IF newest IS NULL THEN
		newest := (SELECT max(v) FROM unnest(versions) AS v);
	END IF;
	IF pgfanout.impossible(newest, given) THEN
		RAISE EXCEPTION 'version % is above all that the primary can have given out (%)',
			newest, given USING ERRCODE = 'numeric_value_out_of_range';
	END IF;
	PERFORM setval('pgfanout.seen_2', greatest(s.last_value, lsn), lsn IS NOT NULL)
		FROM pgfanout.seen_2 s WHERE CASE WHEN lsn > 0 THEN lsn > s.last_value OR NOT s.is_called
			ELSE lsn IS NULL AND s.is_called END;
	IF false <> ALL (deleted) THEN
		changed := 0;
	ELSE
	IF all_new IS NULL THEN
	UPDATE "else".u AS p SET "b" = m.c2, "a" = m.c3, "n" = m.c5, "v" = m.version
	FROM (SELECT unnest(versions) AS version, unnest(xids) AS xid, unnest(deleted) AS deleted, unnest(cols.c1) AS c1, unnest(cols.c2) AS c2, unnest(cols.c3) AS c3, unnest(cols.c4) AS c4, unnest(cols.c5) AS c5, unnest(cols.c6) AS c6) AS m
	WHERE p."no" OPERATOR(pg_catalog.=) m.c1 AND NOT m.deleted AND p."v" < m.version
		AND m.version > load_truncated AND NOT pgfanout.stale(m.xid, m.version, msg_source, load_source, load_snapshot, load_floor);
		GET DIAGNOSTICS changed = ROW_COUNT;
	ELSIF all_new THEN
		BEGIN
	INSERT INTO "else".u ("no", "b", "a", "n", "v")
	SELECT m.c1, m.c2, m.c3, m.c5, m.version
	FROM (SELECT unnest(versions) AS version, unnest(xids) AS xid, unnest(deleted) AS deleted, unnest(cols.c1) AS c1, unnest(cols.c2) AS c2, unnest(cols.c3) AS c3, unnest(cols.c4) AS c4, unnest(cols.c5) AS c5, unnest(cols.c6) AS c6) AS m
	WHERE NOT m.deleted
		AND CASE WHEN buried THEN coalesce((SELECT t."v" FROM pgfanout.tombstones_9 t WHERE t."no" OPERATOR(pg_catalog.=) m.c1) < m.version, true) ELSE true END
		AND m.version > load_truncated AND NOT pgfanout.stale(m.xid, m.version, msg_source, load_source, load_snapshot, load_floor);
			GET DIAGNOSTICS changed = ROW_COUNT;
		EXCEPTION WHEN unique_violation THEN
			changed := NULL;
		END;
	END IF;
	IF changed IS NULL OR all_new IS NULL AND changed < cardinality(versions) THEN
	INSERT INTO "else".u ("no", "b", "a", "n", "v")
	SELECT m.c1, m.c2, m.c3, m.c5, m.version
	FROM (SELECT unnest(versions) AS version, unnest(xids) AS xid, unnest(deleted) AS deleted, unnest(cols.c1) AS c1, unnest(cols.c2) AS c2, unnest(cols.c3) AS c3, unnest(cols.c4) AS c4, unnest(cols.c5) AS c5, unnest(cols.c6) AS c6) AS m
	WHERE NOT m.deleted
		AND NOT EXISTS (SELECT FROM "else".u p WHERE p."no" OPERATOR(pg_catalog.=) m.c1 OFFSET 0)
		AND CASE WHEN buried THEN coalesce((SELECT t."v" FROM pgfanout.tombstones_9 t WHERE t."no" OPERATOR(pg_catalog.=) m.c1) < m.version, true) ELSE true END
		AND m.version > load_truncated AND NOT pgfanout.stale(m.xid, m.version, msg_source, load_source, load_snapshot, load_floor);
		GET DIAGNOSTICS n = ROW_COUNT;
		changed := coalesce(changed, 0) + n;
	END IF;
	IF all_new IS NOT NULL AND changed < cardinality(versions) THEN
	UPDATE "else".u AS p SET "b" = m.c2, "a" = m.c3, "n" = m.c5, "v" = m.version
	FROM (SELECT unnest(versions) AS version, unnest(xids) AS xid, unnest(deleted) AS deleted, unnest(cols.c1) AS c1, unnest(cols.c2) AS c2, unnest(cols.c3) AS c3, unnest(cols.c4) AS c4, unnest(cols.c5) AS c5, unnest(cols.c6) AS c6) AS m
	WHERE p."no" OPERATOR(pg_catalog.=) m.c1 AND NOT m.deleted AND p."v" < m.version
		AND m.version > load_truncated AND NOT pgfanout.stale(m.xid, m.version, msg_source, load_source, load_snapshot, load_floor);
		GET DIAGNOSTICS n = ROW_COUNT;
		changed := changed + n;
	END IF;
	END IF;
	IF true = ANY (deleted) THEN
	WITH gone AS (
		SELECT m.* FROM (SELECT unnest(versions) AS version, unnest(xids) AS xid, unnest(deleted) AS deleted, unnest(cols.c1) AS c1) AS m
		LEFT JOIN "else".u p ON p."no" OPERATOR(pg_catalog.=) m.c1
		WHERE m.deleted AND (p."v" IS NULL OR p."v" < m.version)
			AND m.version > load_truncated AND NOT pgfanout.stale(m.xid, m.version, msg_source, load_source, load_snapshot, load_floor)
	), buried AS (
		INSERT INTO pgfanout.tombstones_9 AS t ("no", "v")
		SELECT g.c1, g.version FROM gone g
		ON CONFLICT ON CONSTRAINT tombstones_9_pkey DO UPDATE SET "v" = excluded."v"
			WHERE t."v" < excluded."v"
	)
	DELETE FROM "else".u p USING gone g WHERE p."no" OPERATOR(pg_catalog.=) g.c1;
		GET DIAGNOSTICS n = ROW_COUNT;
		changed := changed + n;
	END IF;
	IF wrong THEN
		DELETE FROM pgfanout.dead_letters d USING (SELECT unnest(versions) AS version, unnest(xids) AS xid, unnest(deleted) AS deleted, unnest(cols.c1) AS c1) AS m
		WHERE d."table" = 9 AND d.key[1]::integer OPERATOR(pg_catalog.=) m.c1
			AND (d.version <= m.version OR pgfanout.impossible(d.version, given)) AND NOT d.waiting;
	END IF;
	IF runs IS NOT NULL THEN
		INSERT INTO pgfanout.arrivals (stream, runs) VALUES (2, runs);
	END IF;
	IF earlier AND changed > 0 THEN
		UPDATE pgfanout.streams s SET unverified = clock_timestamp() WHERE s.stream = 2;
	END IF;
	IF beats IS NOT NULL THEN
		PERFORM pgfanout.beat(2::smallint, beats, msg_source);
	END IF;
	RETURN changed;
END $pgfanout$;
COMMENT ON FUNCTION pgfanout.apply_30(text, bigint[], xid8[], boolean[], pgfanout.columns_30, boolean, bigint[], jsonb, bigint, bigint)
	IS 'pgfanout: applies a batch of changes of a table, newest version wins';
COMMENT ON TYPE pgfanout.columns_30
	IS 'pgfanout: the columns of a batch of changes';
CREATE OR REPLACE FUNCTION pgfanout.version_of_9(key text[]) RETURNS bigint
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $pgfanout$
	SELECT max(v.version) FROM (
		SELECT p."v" AS version FROM "else".u p WHERE p."no" OPERATOR(pg_catalog.=) $1[1]::integer
		UNION ALL
		SELECT t."v" FROM pgfanout.tombstones_9 t WHERE t."no" OPERATOR(pg_catalog.=) $1[1]::integer
	) AS v
$pgfanout$;
COMMENT ON FUNCTION pgfanout.version_of_9(text[]) IS 'pgfanout: the newest version of a row that is known here';
DROP FUNCTION IF EXISTS pgfanout.truncate_9(text, bigint, xid8, bigint[], jsonb);
CREATE OR REPLACE FUNCTION pgfanout.truncate_9(msg_source text, newest bigint, xid xid8,
	runs bigint[], beats jsonb, lsn bigint DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $pgfanout$
#variable_conflict use_variable
DECLARE
	given         bigint;
	follows       text;
	load_source   text;
	load_snapshot pg_snapshot;
	load_floor    bigint;
	load_truncated bigint;
	buried        boolean;
	earlier       boolean;
	wrong         boolean;
	versions      bigint[];
	changed       bigint := 0;
BEGIN
	IF NOT pg_try_advisory_xact_lock_shared(1885824610, 2) THEN
		RAISE EXCEPTION 'the replica is being reset' USING ERRCODE = 'PF001';
	END IF;
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'changes are applied in READ COMMITTED transactions only'
			USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	PERFORM pg_advisory_xact_lock(1885824611, 2);
	SELECT s.given, s.follows, t.source, t.snapshot, t.floor, t.truncated,
		EXISTS (SELECT FROM pgfanout.tombstones_9),
		EXISTS (SELECT FROM pgfanout.dead_letters d WHERE d."table" = 9 AND NOT d.waiting)
	INTO given, follows, load_source, load_snapshot, load_floor, load_truncated, buried, wrong
	FROM pgfanout.streams s JOIN pgfanout.tables t ON t.id = 9 WHERE s.stream = 2;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'pgfanout.streams or pgfanout.tables has lost a row'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'Run reset-replicas for this replica.';
	END IF;
	IF msg_source <> '' AND msg_source <> follows THEN
		IF pgfanout.succeeds(msg_source, follows) THEN
			PERFORM pgfanout.follow_successor(2::smallint, msg_source, false);
			follows := msg_source;
		ELSIF pgfanout.succeeds(follows, msg_source) THEN
			beats := NULL;
			earlier := true;
		ELSIF msg_source = ANY (ARRAY(SELECT unnest(s.followed) FROM pgfanout.streams s
			WHERE s.stream = 2))
		THEN
			RETURN 0;
		ELSE
			RAISE EXCEPTION 'changes of another primary: their source is %, this replica follows %',
				msg_source, follows USING ERRCODE = 'PF002',
				HINT = 'Give each installation a virtual host or a QUEUE_PREFIX of its own. If '
					'the primary was replaced, run reset-replicas.';
		END IF;
	END IF;
	IF newest IS NULL THEN
		newest := (SELECT max(v) FROM unnest(versions) AS v);
	END IF;
	IF pgfanout.impossible(newest, given) THEN
		RAISE EXCEPTION 'version % is above all that the primary can have given out (%)',
			newest, given USING ERRCODE = 'numeric_value_out_of_range';
	END IF;
	PERFORM setval('pgfanout.seen_2', greatest(s.last_value, lsn), lsn IS NOT NULL)
		FROM pgfanout.seen_2 s WHERE CASE WHEN lsn > 0 THEN lsn > s.last_value OR NOT s.is_called
			ELSE lsn IS NULL AND s.is_called END;
	IF newest > load_truncated AND NOT pgfanout.stale(xid, newest, msg_source, load_source, load_snapshot, load_floor)
	THEN
		UPDATE pgfanout.tables t SET truncated = newest WHERE t.id = 9;
		DELETE FROM "else".u p WHERE p."v" < newest;
		GET DIAGNOSTICS changed = ROW_COUNT;
		DELETE FROM pgfanout.tombstones_9 t WHERE t."v" < newest;
		DELETE FROM pgfanout.dead_letters d WHERE d."table" = 9 AND d.version <= newest;
	END IF;
	IF runs IS NOT NULL THEN
		INSERT INTO pgfanout.arrivals (stream, runs) VALUES (2, runs);
	END IF;
	IF earlier AND changed > 0 THEN
		UPDATE pgfanout.streams s SET unverified = clock_timestamp() WHERE s.stream = 2;
	END IF;
	IF beats IS NOT NULL THEN
		PERFORM pgfanout.beat(2::smallint, beats, msg_source);
	END IF;
	RETURN changed;
END $pgfanout$;
COMMENT ON FUNCTION pgfanout.truncate_9(text, bigint, xid8, bigint[], jsonb, bigint)
	IS 'pgfanout: applies a TRUNCATE';
