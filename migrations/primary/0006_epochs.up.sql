-- A new primary: a standby is promoted, by us, by a manager, or by hand. It goes on under the same system identifier, on
-- another timeline. Transaction ids and places in the WAL that the old primary gave out and the standby had not received
-- are given out again and mean something else; so are versions. An epoch is the time that one primary leads: what it
-- gives out is told apart by the epoch's name, and its versions are above all of earlier ones.
--
-- An epoch begins with the first record in the outbox on a new timeline, whoever writes it, in that statement and before
-- it takes a version: by a trigger, so that no program has to be there, and nothing is captured in between. Our
-- programs begin it when they connect.
--
-- What an epoch is, is kept in sequences: they are in the WAL, and so on every standby; what is set is visible at once,
-- to every transaction, and stays if the one that has set it is rolled back.
--
--   epoch         bits 0 to 30: the timeline; bit 31: this server leads no more (fence()); from bit 32 on: a number by
--                 chance, because two standbys that are promoted by mistake may both call their timeline the same;
--                 0: it is the first epoch, whose name is that of versions before
--   epoch_before  the one before
--   epoch_xid     records of transactions before this one were made in the one before, and waited for the broker when this
--                 one began
--
-- begin_epoch() sets them in this order: version_seq, epoch_before, epoch_xid, epoch. If the server dies between two, the
-- WAL has the first of them, and what is missing is done again: versions are raised twice, which nobody minds.
--
-- What is set may be seen before the WAL is on the disk, and a crash then draws another number. So whoever uses the
-- name outside of this server sees to it first that it is kept (current_source()): by a row that is committed there, in
-- pgfanout.epochs, which so is the list of them.
--
-- `down` leaves the sequences, so that the epoch that replicas follow is known to the next `up`.
CREATE SEQUENCE IF NOT EXISTS pgfanout.epoch;
COMMENT ON SEQUENCE pgfanout.epoch IS 'pgfanout: since when this server is the primary: its timeline, and a number';
CREATE SEQUENCE IF NOT EXISTS pgfanout.epoch_before;
COMMENT ON SEQUENCE pgfanout.epoch_before IS 'pgfanout: the epoch before';
CREATE SEQUENCE IF NOT EXISTS pgfanout.epoch_xid;
COMMENT ON SEQUENCE pgfanout.epoch_xid IS 'pgfanout: records of transactions before this one are of the epoch before';
CREATE TABLE pgfanout.epochs (
	epoch    bigint      PRIMARY KEY,
	source   text        NOT NULL,
	begun_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE pgfanout.epochs IS 'pgfanout: the epochs that this server has led, or has received';
GRANT SELECT ON pgfanout.epoch, pgfanout.epoch_before, pgfanout.epoch_xid, pgfanout.epochs TO PUBLIC;

-- Of a server that takes writes. A name of a file of the WAL begins with it, in hexadecimal.
CREATE FUNCTION pgfanout.timeline() RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint
$$;
COMMENT ON FUNCTION pgfanout.timeline() IS 'pgfanout: the timeline that this server writes';
SELECT setval('pgfanout.epoch', pgfanout.timeline()) FROM pgfanout.epoch e WHERE NOT e.is_called;

-- As before, with the epoch.
CREATE FUNCTION pgfanout.source(epoch bigint) RETURNS text
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	suffix CONSTANT text := CASE WHEN epoch >> 32 > 0
		THEN format('@%s-%s', epoch & 2147483647, epoch >> 32) ELSE '' END;
BEGIN
	-- The database too: two installations may share a server.
	RETURN (SELECT system_identifier || '/' || d.oid FROM pg_control_system(), pg_database d
		WHERE d.datname = current_database()) || suffix;
EXCEPTION WHEN insufficient_privilege THEN
	RETURN 'table-' || 'pgfanout.origin'::regclass::oid || suffix;
END $$;
COMMENT ON FUNCTION pgfanout.source(bigint) IS 'pgfanout: names a primary in an epoch, whose transaction ids these are';
CREATE OR REPLACE FUNCTION pgfanout.source() RETURNS text
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pgfanout.source(e.last_value) FROM pgfanout.epoch e
$$;

-- Begins an epoch if this server has another timeline than the last one. Nobody has recorded anything on it yet, or
-- does: who would waits for the lock. So what is in the outbox is of the epoch before.
CREATE FUNCTION pgfanout.begin_epoch_alone() RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	was  CONSTANT bigint := (SELECT e.last_value & ~2147483648 FROM pgfanout.epoch e);
	line CONSTANT bigint := pgfanout.timeline();
BEGIN
	IF was & 2147483647 = line THEN
		RETURN;
	END IF;
	PERFORM setval('pgfanout.version_seq', CASE WHEN v.is_called THEN v.last_value ELSE 0 END + 4294967296)
	FROM pgfanout.version_seq v;
	PERFORM setval('pgfanout.epoch_before', was);
	PERFORM setval('pgfanout.epoch_xid', coalesce(max(o.xid::text::bigint), 0) + 1)
	FROM pgfanout.streams s CROSS JOIN LATERAL (SELECT o.xid FROM pgfanout.outbox o WHERE o.stream = s.id
		ORDER BY o.stream DESC, o.xid DESC LIMIT 1) AS o;
	PERFORM setval('pgfanout.epoch', (1 + floor(random() * 2147483646)::bigint << 32) | line);
END $$;
COMMENT ON FUNCTION pgfanout.begin_epoch_alone() IS 'pgfanout: part of begin_epoch()';
REVOKE ALL ON FUNCTION pgfanout.begin_epoch_alone() FROM PUBLIC;
CREATE FUNCTION pgfanout.begin_epoch() RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean
		OR (SELECT e.last_value & 2147483647 FROM pgfanout.epoch e) = pgfanout.timeline()
	THEN
		RETURN;
	END IF;
	-- Not until the transaction ends, which may take long.
	PERFORM pg_advisory_lock(1885824609, 6);
	BEGIN
		PERFORM pgfanout.begin_epoch_alone();
	EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
		PERFORM pg_advisory_unlock(1885824609, 6);
		RAISE;
	END;
	PERFORM pg_advisory_unlock(1885824609, 6);
END $$;
COMMENT ON FUNCTION pgfanout.begin_epoch() IS 'pgfanout: begins an epoch if this server has become the primary';

-- For programs when they connect: good when this has been committed.
CREATE FUNCTION pgfanout.current_source() RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	now bigint;
BEGIN
	PERFORM pgfanout.begin_epoch();
	SELECT e.last_value & ~2147483648 INTO now FROM pgfanout.epoch e;
	IF NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::boolean
		AND NOT EXISTS (SELECT FROM pgfanout.epochs k WHERE k.epoch = now)
	THEN
		-- Who sees the row, or waits for it here, does so when it is on the disk.
		PERFORM set_config('synchronous_commit', 'local', true);
		INSERT INTO pgfanout.epochs (epoch, source) VALUES (now, pgfanout.source(now)) ON CONFLICT DO NOTHING;
	END IF;
	RETURN pgfanout.source(now);
END $$;
COMMENT ON FUNCTION pgfanout.current_source() IS 'pgfanout: source(), of an epoch that has begun and is kept';
INSERT INTO pgfanout.epochs (epoch, source) SELECT e.last_value, pgfanout.source(e.last_value) FROM pgfanout.epoch e;

-- This server leads no more: nothing is captured here from now on, so no registered table can be written, until it has
-- been made a standby, and promoted. false: it leads as before. It travels in the WAL, and says nothing on another
-- timeline.
CREATE FUNCTION pgfanout.fence("on" boolean) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pgfanout.begin_epoch();
	SELECT setval('pgfanout.epoch', CASE WHEN "on" THEN e.last_value | 2147483648 ELSE e.last_value & ~2147483648 END)
	FROM pgfanout.epoch e
$$;
COMMENT ON FUNCTION pgfanout.fence(boolean) IS 'pgfanout: another server takes the place of this primary';
CREATE FUNCTION pgfanout.is_fenced() RETURNS boolean
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN NOT pg_is_in_recovery()
		THEN e.last_value & 4294967295 = pgfanout.timeline() | 2147483648 ELSE false END FROM pgfanout.epoch e
$$;
COMMENT ON FUNCTION pgfanout.is_fenced() IS 'pgfanout: whether another server has taken the place of this primary';
REVOKE ALL ON FUNCTION pgfanout.fence(boolean) FROM PUBLIC;

CREATE FUNCTION pgfanout.on_record() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF pgfanout.is_fenced() THEN
		RAISE EXCEPTION 'this server is not the primary any more: another one has been promoted'
			USING ERRCODE = 'read_only_sql_transaction',
			HINT = 'If none was after all: SELECT pgfanout.fence(false)';
	END IF;
	PERFORM pgfanout.begin_epoch();
	RETURN NULL;
END $$;
COMMENT ON FUNCTION pgfanout.on_record() IS 'pgfanout: begins an epoch, or refuses to capture';
-- Up to which place in the WAL the synchronous standbys have it on their disk, as many as a commit waits for: one of them
-- is promoted if this server is lost. NULL: none is named, or our owner may not see them (pg_read_all_stats); then what
-- a commit waits for must do.
CREATE FUNCTION pgfanout.standbys_flushed() RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names CONSTANT text := current_setting('synchronous_standby_names');
BEGIN
	IF names = '' OR NOT pg_has_role('pg_read_all_stats', 'USAGE') THEN
		RETURN NULL;
	END IF;
	RETURN coalesce((
		SELECT coalesce(w.flush_lsn - '0/0', 0)::bigint FROM pg_stat_get_wal_senders() AS w
		WHERE w.sync_state IN ('sync', 'quorum') ORDER BY w.flush_lsn DESC NULLS LAST LIMIT 1
		OFFSET greatest(1, coalesce(substring(names FROM '(?i)^\s*(?:(?:any|first)\s+)?([0-9]+)\s*\(')::bigint, 1)) - 1), 0);
END $$;
COMMENT ON FUNCTION pgfanout.standbys_flushed() IS 'pgfanout: what synchronous standbys have of the WAL';

-- The condition costs each statement that is captured a microsecond. It is that of timeline(), written out.
CREATE TRIGGER begin_epoch BEFORE INSERT ON pgfanout.outbox FOR EACH STATEMENT
	WHEN (('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint
		IS DISTINCT FROM pg_sequence_last_value('pgfanout.epoch'::regclass) & 4294967295)
	EXECUTE FUNCTION pgfanout.on_record();
ALTER TABLE pgfanout.outbox ENABLE ALWAYS TRIGGER begin_epoch;
