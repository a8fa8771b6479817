-- How far this replica is, in the primary's WAL: what a read may rely on that must not see less than its client has
-- seen or written. Places are bytes: pg_lsn - '0/0'.
--
--   pgfanout.positions  per stream: everything of the primary `source` that was visible there before its WAL's insert
--                       position was `lsn` is here, or its row is known to be wrong here (dead_letters). Written in
--                       the transaction that takes in the heartbeat which says so, or by a reset. The newest row of
--                       a stream counts; older ones are deleted with the next. A table that only grows, read from
--                       its end, is as quick when an old snapshot keeps vacuum away; a row that is updated 30 times
--                       a second is not.
--   pgfanout.seen_<n>   per stream: what is visible of it here was committed before this place. Set by who brings it,
--                       before that is visible. A sequence, because its value is visible at once and leaves no dead
--                       rows: a reader that finds a change finds its place, at least. Too large a place is only
--                       careful, so it does not matter that a transaction which fails leaves its place there.
--                       is_called false: not known, since nothing has said so yet, or because changes came that
--                       did not say where they are (of a version before); known again with the next heartbeat.
--   pgfanout.wrong_changes  how often the records of wrong rows have changed: who has not read them since does not
--                       know which rows a position does not hold for.
--
-- Changes that wait for others (pgfanout.waiting) are applied later, by settle() and exchange(), but their place was
-- noted when they came, by apply_each().

CREATE TABLE pgfanout.positions (
	stream smallint NOT NULL,
	lsn    bigint   NOT NULL,
	source text     NOT NULL, -- pgfanout.source() of the primary
	PRIMARY KEY (stream, lsn)
);
COMMENT ON TABLE pgfanout.positions IS 'pgfanout: places in the primary''s WAL up to which everything is here';
CREATE TABLE pgfanout.wrong_changes (n bigint NOT NULL);
COMMENT ON TABLE pgfanout.wrong_changes IS 'pgfanout: how often the records of wrong rows have changed';
INSERT INTO pgfanout.wrong_changes VALUES (0);

-- The row's lock makes whoever counts next wait for the commit: the number is that of what is visible.
CREATE FUNCTION pgfanout.count_wrong() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM changed) THEN
		UPDATE pgfanout.wrong_changes SET n = n + 1;
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION pgfanout.count_wrong() IS 'pgfanout: trigger: the records of wrong rows change';
CREATE TRIGGER count_wrong AFTER INSERT ON pgfanout.dead_letters REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION pgfanout.count_wrong();
CREATE TRIGGER count_wrong_more AFTER UPDATE ON pgfanout.dead_letters REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION pgfanout.count_wrong();
CREATE TRIGGER count_wrong_less AFTER DELETE ON pgfanout.dead_letters REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION pgfanout.count_wrong();

-- Of the streams that are here; those to come get theirs with their functions (common/wire/table_sql.c).
DO $$
DECLARE
	n smallint;
BEGIN
	FOR n IN SELECT stream FROM pgfanout.streams LOOP
		EXECUTE format('CREATE SEQUENCE pgfanout.seen_%s', n);
		EXECUTE format('COMMENT ON SEQUENCE pgfanout.seen_%s IS %L', n,
			'pgfanout: what is visible of a stream was committed before this place in the primary''s WAL');
		EXECUTE format('GRANT SELECT ON pgfanout.seen_%s TO PUBLIC', n);
	END LOOP;
END $$;
GRANT SELECT ON pgfanout.positions, pgfanout.wrong_changes TO PUBLIC;

-- What was committed before this place is about to be visible here. As in the functions that apply changes
-- (common/wire/table_sql.c); by their locks nobody else does it. anew: whatever was visible of the stream goes with
-- it. A stream that nothing was ever applied of may have no sequence yet.
CREATE FUNCTION pgfanout.note_seen(of_stream smallint, lsn bigint, anew boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF to_regclass('pgfanout.seen_' || of_stream) IS NOT NULL THEN
		EXECUTE format('SELECT setval(%1$L, CASE WHEN $2 THEN coalesce($1, 1) ELSE greatest(s.last_value, $1) END,
				$1 IS NOT NULL) FROM %1$s s', 'pgfanout.seen_' || of_stream) USING lsn, anew;
	END IF;
END $$;
COMMENT ON FUNCTION pgfanout.note_seen(smallint, bigint, boolean)
	IS 'pgfanout: what was committed before this place in the primary''s WAL is about to be visible';

-- With the place of what comes.
CREATE FUNCTION pgfanout.apply_each(lsn bigint, of_stream smallint, id integer, of_shape integer, msg_source text,
	versions bigint[], xids xid8[], deletes boolean[], all_cols anyelement, keys text[], bodies text[],
	types text[], content_types text[], ids text[], queues text[], OUT applied bigint, OUT kept bigint)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM pgfanout.begin_waiting(of_stream);
	PERFORM pgfanout.note_seen(of_stream, lsn, false);
	SELECT e.applied, e.kept INTO applied, kept
	FROM pgfanout.apply_each(of_stream, id, of_shape, msg_source, versions, xids, deletes, all_cols, keys, bodies,
		types, content_types, ids, queues) AS e;
END $$;
COMMENT ON FUNCTION pgfanout.apply_each(bigint, smallint, integer, integer, text, bigint[], xid8[], boolean[], anyelement,
	text[], text[], text[], text[], text[], text[])
	IS 'pgfanout: applies changes one by one, and keeps those that another row is in the way of';

-- As before, but that its place was noted when it came.
CREATE OR REPLACE FUNCTION pgfanout.apply_waiting(w pgfanout.waiting) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('SELECT pgfanout.apply_%1$s($1, $2, $3, $4, $5::pgfanout.columns_%1$s, false, NULL, NULL, $6, 0)',
		w.shape)
	INTO n USING w.source, ARRAY[w.version], ARRAY[w.xid], ARRAY[w.deleted], w.cols, w.version;
	RETURN n;
END $$;

-- Whether a row is older here than this version. Not if its key is none that the table can have: a message of somebody
-- else's, which is refused, and makes nothing wrong.
CREATE FUNCTION pgfanout.is_older("table" integer, key text[], version bigint) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN coalesce(pgfanout.version_of("table", key), -1) < version;
EXCEPTION WHEN data_exception THEN
	RETURN false;
END $$;
COMMENT ON FUNCTION pgfanout.is_older(integer, text[], bigint) IS 'pgfanout: whether a row is older here than a version';

-- As before; and a TRUNCATE is recorded if it is refused, with a key that has no values: any row may be wrong.
CREATE OR REPLACE FUNCTION pgfanout.wrong_rows(most integer) RETURNS TABLE ("table" integer, "row" text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	number integer;
BEGIN
	FOR number IN SELECT t.id FROM pgfanout.tables t
		WHERE EXISTS (SELECT FROM pgfanout.dead_letters d WHERE d."table" = t.id) ORDER BY t.id
	LOOP
		BEGIN
			RETURN QUERY EXECUTE format($q$
				SELECT %1$s, CASE WHEN d.key <> '{}' THEN array_to_string(d.key, E'\x1f') END
				FROM (SELECT key, version FROM pgfanout.dead_letters WHERE "table" = %1$s OFFSET 0) AS d
				WHERE coalesce(pgfanout.version_of_%1$s(d.key), -1) < d.version LIMIT $1$q$, number) USING most;
		EXCEPTION WHEN others THEN
			RETURN QUERY SELECT number, NULL::text;
		END;
	END LOOP;
END $$;

-- ---- heartbeats ----

ALTER TABLE pgfanout.heartbeats ADD COLUMN waiting_lsn bigint; -- of the one that waits

-- Of each queue the newest place that a heartbeat said which counted. As pgfanout.positions it is written all the time,
-- and only grows: the row before is found by its key, the newest one at the end.
CREATE TABLE pgfanout.places (
	stream smallint NOT NULL,
	queue  text     NOT NULL, -- 'sync' or 'delete'
	lsn    bigint   NOT NULL,
	PRIMARY KEY (stream, queue, lsn)
);
COMMENT ON TABLE pgfanout.places IS 'pgfanout: places in the primary''s WAL up to which everything has come through each queue';

CREATE FUNCTION pgfanout.note_place(of_stream smallint, of_queue text, place bigint) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	last bigint;
BEGIN
	SELECT p.lsn INTO last FROM pgfanout.places p WHERE p.stream = of_stream AND p.queue = of_queue
	ORDER BY p.lsn DESC LIMIT 1;
	IF place > coalesce(last, 0) THEN
		DELETE FROM pgfanout.places p WHERE p.stream = of_stream AND p.queue = of_queue AND p.lsn = last;
		INSERT INTO pgfanout.places (stream, queue, lsn) VALUES (of_stream, of_queue, place);
	END IF;
END $$;
COMMENT ON FUNCTION pgfanout.note_place(smallint, text, bigint) IS 'pgfanout: part of beat(): a heartbeat that counts';

-- What has come through both queues, when that has grown. Not if changes were lost: what beat() takes for received by
-- its rule 4 is not here, and the stream needs a reset from then on. So no place is noted before that, and a reset
-- begins anew with its own.
--
-- If it is not known before which place all that is visible was committed, it was before this one: changes that
-- came without a place were found by a relay of a version before, and it had lost the lead when the one that has
-- places recorded its heartbeat.
CREATE FUNCTION pgfanout.note_position(of_stream smallint, msg_source text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	last  pgfanout.positions;
	place bigint;
BEGIN
	SELECT min(q.lsn) INTO place
	FROM (VALUES ('sync'), ('delete')) AS w (queue)
	CROSS JOIN LATERAL (SELECT p.lsn FROM pgfanout.places p WHERE p.stream = of_stream AND p.queue = w.queue
		ORDER BY p.lsn DESC LIMIT 1) AS q
	HAVING count(*) = 2;
	SELECT * INTO last FROM pgfanout.positions p WHERE p.stream = of_stream ORDER BY p.lsn DESC LIMIT 1;
	IF place > (CASE WHEN last.source = msg_source THEN last.lsn ELSE 0 END)
		AND EXISTS (SELECT FROM pgfanout.streams s
			WHERE s.stream = of_stream AND NOT s.needs_reset AND s.follows = msg_source)
	THEN
		IF last.source <> msg_source THEN
			DELETE FROM pgfanout.positions p WHERE p.stream = of_stream;
		END IF;
		DELETE FROM pgfanout.positions p WHERE p.stream = of_stream AND p.lsn = last.lsn;
		INSERT INTO pgfanout.positions (stream, lsn, source) VALUES (of_stream, place, msg_source);
		IF to_regclass('pgfanout.seen_' || of_stream) IS NOT NULL THEN
			EXECUTE format('SELECT setval(%1$L, greatest(s.last_value, $1)) FROM %1$s s WHERE NOT s.is_called',
				'pgfanout.seen_' || of_stream) USING place;
		END IF;
	END IF;
END $$;
COMMENT ON FUNCTION pgfanout.note_position(smallint, text) IS 'pgfanout: part of beat(): what has come through both queues';

-- As before; and
--
--   5. While there are writes heartbeats come much more often than each `every` ms, for their places. A row that is
--      updated as often costs the more, the longer an old snapshot keeps vacuum away. So, if each of those that come now
--      has a place, is newer than the last one that was taken in by the rules above, by less than `every`, and all that
--      it names has come, then their places alone are noted, and arrivals stay until the next one is taken in.
CREATE OR REPLACE FUNCTION pgfanout.beat(number smallint, beats jsonb, msg_source text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state   pgfanout.streams;
	b       record;
	fresh   boolean;
	lost    numeric;
	counted timestamptz;
	place   bigint; -- of the one that is counted
	n       bigint;
BEGIN
	SELECT * INTO state FROM pgfanout.streams s WHERE s.stream = number;
	IF NOT EXISTS (
		SELECT FROM jsonb_to_recordset(beats) AS m (queue text, at timestamptz, term bigint, xid xid8, lsn bigint,
			every integer, terms jsonb)
		LEFT JOIN pgfanout.heartbeats h ON h.stream = beat.number AND h.queue = m.queue
		CROSS JOIN LATERAL (SELECT CASE m.queue WHEN 'sync' THEN state.heartbeat_sync
			ELSE state.heartbeat_delete END AS at) AS noted
		WHERE coalesce(m.lsn IS NULL OR h.waiting IS NOT NULL OR m.term <> h.term OR m.xid <= h.xid
			OR m.at NOT BETWEEN noted.at AND noted.at + m.every * interval '0.9 ms', true)
			OR EXISTS (SELECT FROM jsonb_to_recordset(m.terms) AS t (term bigint, messages bigint)
				LEFT JOIN pgfanout.received r ON r.stream = beat.number AND r.queue = m.queue AND r.term = t.term
				WHERE t.messages > 0 AND NOT coalesce(r.numbers, '{}') + coalesce((
						SELECT range_agg(int8range(a.runs[i + 2], a.runs[i + 3], '[]'))
						FROM pgfanout.arrivals a, generate_series(1, cardinality(a.runs), 4) AS i
						WHERE a.stream = beat.number AND a.number > state.arrived AND a.runs[i + 1] = t.term
							AND CASE a.runs[i] WHEN 0 THEN 'sync' ELSE 'delete' END = m.queue), '{}')
					@> int8range(1, t.messages, '[]')))
	THEN -- 5
		PERFORM pgfanout.note_place(number, m.queue, m.lsn)
		FROM jsonb_to_recordset(beats) AS m (queue text, lsn bigint);
		PERFORM pgfanout.note_position(number, msg_source);
		RETURN;
	END IF;
	WITH taken AS (
		DELETE FROM pgfanout.arrivals a WHERE a.stream = beat.number AND a.number > state.arrived
		RETURNING a.number, a.runs
	), came AS (
		SELECT CASE t.runs[i] WHEN 0 THEN 'sync' ELSE 'delete' END AS queue,
			t.runs[i + 1] AS term, int8range(t.runs[i + 2], t.runs[i + 3], '[]') AS range
		FROM taken t, generate_series(1, cardinality(t.runs), 4) AS i
	), received AS (
		INSERT INTO pgfanout.received AS r (stream, queue, term, numbers)
		SELECT beat.number, queue, term, range_agg(range) FROM came
		GROUP BY queue, term
		ON CONFLICT (stream, queue, term) DO UPDATE SET numbers = r.numbers + excluded.numbers,
			missing = r.missing - excluded.numbers
	), at_work AS (
		UPDATE pgfanout.heartbeats h SET since = clock_timestamp()
		WHERE h.stream = beat.number AND h.waiting IS NOT NULL AND EXISTS (SELECT FROM came c
			JOIN pgfanout.received r ON r.stream = beat.number AND r.queue = c.queue AND r.term = c.term
			WHERE c.queue = h.queue AND r.missing && c.range)
	)
	UPDATE pgfanout.streams s SET arrived = (SELECT max(taken.number) FROM taken)
	WHERE s.stream = beat.number AND EXISTS (SELECT FROM taken);

	FOR b IN
		SELECT m.*, h.waiting, h.waiting_lsn, h.since, h.term AS last_term, h.xid AS last_xid
		FROM jsonb_to_recordset(beats) AS m (queue text, at timestamptz, version bigint,
			term bigint, xid xid8, lsn bigint, terms jsonb)
		LEFT JOIN pgfanout.heartbeats h ON h.stream = beat.number AND h.queue = m.queue
	LOOP
		fresh := coalesce((b.term, b.xid) > (b.last_term, b.last_xid), true) -- 1
			AND coalesce(msg_source <> state.source OR b.xid = '0'
				OR NOT pg_visible_in_snapshot(b.xid, state.snapshot), true);
		CONTINUE WHEN NOT fresh;
		counted := NULL;
		place := NULL;
		IF b.waiting IS NOT NULL THEN
			SELECT sum(upper(m.range) - lower(m.range)) INTO lost
			FROM pgfanout.received r CROSS JOIN unnest(r.missing) AS m (range)
			WHERE r.stream = beat.number AND r.queue = b.queue;
			IF lost IS NULL THEN -- 3
				counted := b.waiting;
				place := b.waiting_lsn;
				b.waiting := NULL;
			ELSIF clock_timestamp() > b.since + interval '3 seconds' THEN -- 4
				UPDATE pgfanout.streams s SET needs_reset = true,
					auto_reset = true,
					reason = format('%s messages that were published have '
						'not come through its %s queue: a binding was '
						'removed, the queue was purged, or a policy '
						'expires or drops messages', lost, b.queue)
				WHERE s.stream = beat.number AND NOT needs_reset;
				UPDATE pgfanout.received r SET numbers = numbers + missing,
					missing = '{}'
				WHERE r.stream = beat.number AND queue = b.queue AND NOT isempty(missing);
				b.waiting := NULL;
			END IF;
		END IF;
		IF b.waiting IS NULL THEN -- 2
			DELETE FROM pgfanout.received r WHERE r.stream = beat.number AND queue = b.queue AND term <
				(SELECT min(t.term) FROM jsonb_to_recordset(b.terms) AS t (term bigint));
			INSERT INTO pgfanout.received (stream, queue, term, numbers, missing)
			SELECT beat.number, b.queue, t.term, coalesce(r.numbers, '{}'),
				int8multirange(int8range(1, t.messages, '[]'))
					- coalesce(r.numbers, '{}')
			FROM jsonb_to_recordset(b.terms) AS t (term bigint, messages bigint)
			LEFT JOIN pgfanout.received r ON r.stream = beat.number AND r.queue = b.queue
				AND r.term = t.term
			WHERE t.messages > 0 AND NOT coalesce(r.numbers, '{}')
				@> int8range(1, t.messages, '[]')
			ON CONFLICT (stream, queue, term) DO UPDATE SET missing = excluded.missing;
			GET DIAGNOSTICS n = ROW_COUNT;
			IF n = 0 THEN
				counted := b.at;
				place := b.lsn;
			ELSE
				b.waiting := b.at;
				b.waiting_lsn := b.lsn;
				b.since := clock_timestamp();
			END IF;
		END IF;
		INSERT INTO pgfanout.heartbeats AS h (stream, queue, term, xid, waiting, since, waiting_lsn)
		VALUES (number, b.queue, b.term, b.xid, b.waiting, b.since, b.waiting_lsn)
		ON CONFLICT (stream, queue) DO UPDATE SET term = excluded.term, xid = excluded.xid,
			waiting = excluded.waiting, since = excluded.since, waiting_lsn = excluded.waiting_lsn;
		PERFORM pgfanout.note_place(number, b.queue, place);
		UPDATE pgfanout.streams s SET given = b.version,
			heartbeat_sync = CASE WHEN b.queue = 'sync'
				THEN coalesce(counted, heartbeat_sync) ELSE heartbeat_sync END,
			heartbeat_delete = CASE WHEN b.queue = 'delete'
				THEN coalesce(counted, heartbeat_delete) ELSE heartbeat_delete END
		WHERE s.stream = beat.number;
	END LOOP;

	PERFORM pgfanout.note_position(number, msg_source);
END $$;

-- ---- a new primary ----
--
-- A standby that is promoted begins an epoch (migrations/primary/0006_epochs.up.sql), and its name says which: what is
-- behind the '@' of a source begins with the timeline. A replica that follows an epoch takes a later one of the same
-- database for its successor, with the first message that comes of it. What comes of earlier ones is applied by version as
-- before, since it happened before: all versions of an epoch are above those of earlier ones. Their heartbeats count no
-- more, as they tell times and places of a server that leads no more.
--
-- What the old primary had published and the new one never had is here all the same. So the stream is unverified until
-- the replica has been compared with the new one (the consumer does that), or reset.
ALTER TABLE pgfanout.streams ADD COLUMN unverified timestamptz;

-- Whether a source is a later epoch of another one.
CREATE FUNCTION pgfanout.succeeds(source text, other text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT split_part(source, '@', 1) = split_part(other, '@', 1)
		AND coalesce(substring(source FROM '@([0-9]{1,10})-'), '0')::bigint
			> coalesce(substring(other FROM '@([0-9]{1,10})-'), '0')::bigint
$$;
COMMENT ON FUNCTION pgfanout.succeeds(text, text) IS 'pgfanout: whether a source is a later epoch of another one';

-- The order of heartbeats begins anew, as the new primary's clock may be behind; so do places. Messages that have not
-- come yet are named again by its heartbeats.
-- nothing_lost: it is known that the new primary has all that the old one had.
CREATE FUNCTION pgfanout.follow_successor(of_stream smallint, msg_source text, nothing_lost boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM pgfanout.heartbeats h WHERE h.stream = of_stream;
	DELETE FROM pgfanout.positions p WHERE p.stream = of_stream;
	DELETE FROM pgfanout.places p WHERE p.stream = of_stream;
	UPDATE pgfanout.received r SET missing = '{}' WHERE r.stream = of_stream AND NOT isempty(r.missing);
	UPDATE pgfanout.streams s SET follows = msg_source,
		unverified = CASE WHEN nothing_lost THEN s.unverified ELSE clock_timestamp() END
	WHERE s.stream = of_stream;
END $$;
COMMENT ON FUNCTION pgfanout.follow_successor(smallint, text, boolean) IS 'pgfanout: a stream comes from a new primary from now on';
