-- Where replicas are in the primary's WAL is not known any more; nothing of the versions before asks. The functions that
-- apply changes are generated anew by their pgfanout-migrate up.
DROP TRIGGER count_wrong ON pgfanout.dead_letters;
DROP TRIGGER count_wrong_more ON pgfanout.dead_letters;
DROP TRIGGER count_wrong_less ON pgfanout.dead_letters;
ALTER TABLE pgfanout.streams DROP COLUMN unverified;
DROP FUNCTION pgfanout.count_wrong(), pgfanout.succeeds(text, text), pgfanout.follow_successor(smallint, text, boolean);
DROP TABLE pgfanout.positions, pgfanout.places, pgfanout.wrong_changes;
DROP FUNCTION pgfanout.note_seen(smallint, bigint, boolean), pgfanout.note_place(smallint, text, bigint),
	pgfanout.note_position(smallint, text), pgfanout.is_older(integer, text[], bigint),
	pgfanout.apply_each(bigint, smallint, integer, integer, text,
	bigint[], xid8[], boolean[], anyelement, text[], text[], text[], text[], text[], text[]);
DO $$
DECLARE
	f regprocedure;
	s regclass;
BEGIN
	FOR f IN SELECT oid FROM pg_proc
		WHERE pronamespace = 'pgfanout'::regnamespace AND proname ~ '^(apply|truncate|arrive)_[0-9]+$'
	LOOP
		EXECUTE format('DROP FUNCTION %s', f);
	END LOOP;
	FOR s IN SELECT oid FROM pg_class
		WHERE relnamespace = 'pgfanout'::regnamespace AND relkind = 'S' AND relname ~ '^seen_[0-9]+$'
	LOOP
		EXECUTE format('DROP SEQUENCE %s', s);
	END LOOP;
END $$;
UPDATE pgfanout.shapes SET generated = NULL;
DELETE FROM pgfanout.dead_letters WHERE key = '{}';
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
				SELECT %1$s, array_to_string(d.key, E'\x1f')
				FROM (SELECT key, version FROM pgfanout.dead_letters WHERE "table" = %1$s OFFSET 0) AS d
				WHERE coalesce(pgfanout.version_of_%1$s(d.key), -1) < d.version LIMIT $1$q$, number) USING most;
		EXCEPTION WHEN others THEN
			RETURN QUERY SELECT number, NULL::text;
		END;
	END LOOP;
END $$;
CREATE OR REPLACE FUNCTION pgfanout.apply_waiting(w pgfanout.waiting) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('SELECT pgfanout.apply_%1$s($1, $2, $3, $4, $5::pgfanout.columns_%1$s, false, NULL, NULL, $6)',
		w.shape)
	INTO n USING w.source, ARRAY[w.version], ARRAY[w.xid], ARRAY[w.deleted], w.cols, w.version;
	RETURN n;
END $$;
CREATE OR REPLACE FUNCTION pgfanout.beat(number smallint, beats jsonb, msg_source text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state   pgfanout.streams;
	b       record;
	fresh   boolean;
	lost    numeric;
	counted timestamptz;
	n       bigint;
BEGIN
	SELECT * INTO state FROM pgfanout.streams s WHERE s.stream = number;
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
		SELECT m.*, h.waiting, h.since, h.term AS last_term, h.xid AS last_xid
		FROM jsonb_to_recordset(beats) AS m (queue text, at timestamptz, version bigint,
			term bigint, xid xid8, terms jsonb)
		LEFT JOIN pgfanout.heartbeats h ON h.stream = beat.number AND h.queue = m.queue
	LOOP
		fresh := coalesce((b.term, b.xid) > (b.last_term, b.last_xid), true) -- 1
			AND coalesce(msg_source <> state.source OR b.xid = '0'
				OR NOT pg_visible_in_snapshot(b.xid, state.snapshot), true);
		CONTINUE WHEN NOT fresh;
		counted := NULL;
		IF b.waiting IS NOT NULL THEN
			SELECT sum(upper(m.range) - lower(m.range)) INTO lost
			FROM pgfanout.received r CROSS JOIN unnest(r.missing) AS m (range)
			WHERE r.stream = beat.number AND r.queue = b.queue;
			IF lost IS NULL THEN -- 3
				counted := b.waiting;
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
			ELSE
				b.waiting := b.at;
				b.since := clock_timestamp();
			END IF;
		END IF;
		INSERT INTO pgfanout.heartbeats AS h (stream, queue, term, xid, waiting, since)
		VALUES (number, b.queue, b.term, b.xid, b.waiting, b.since)
		ON CONFLICT (stream, queue) DO UPDATE SET term = excluded.term, xid = excluded.xid,
			waiting = excluded.waiting, since = excluded.since;
		UPDATE pgfanout.streams s SET given = b.version,
			heartbeat_sync = CASE WHEN b.queue = 'sync'
				THEN coalesce(counted, heartbeat_sync) ELSE heartbeat_sync END,
			heartbeat_delete = CASE WHEN b.queue = 'delete'
				THEN coalesce(counted, heartbeat_delete) ELSE heartbeat_delete END
		WHERE s.stream = beat.number;
	END LOOP;
END $$;
ALTER TABLE pgfanout.heartbeats DROP COLUMN waiting_lsn;
