CREATE SEQUENCE IF NOT EXISTS pgfanout.seen_3;
COMMENT ON SEQUENCE pgfanout.seen_3 IS 'pgfanout: what is visible of a stream was committed before this place in the primary''s WAL';
GRANT SELECT ON pgfanout.seen_3 TO PUBLIC;
CREATE OR REPLACE FUNCTION pgfanout.arrive_3(msg_source text, runs bigint[], beats jsonb) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $pgfanout$
DECLARE
	follows text;
	earlier boolean;
	changed bigint := 0;
BEGIN
	IF NOT pg_try_advisory_xact_lock_shared(1885824610, 3) THEN
		RAISE EXCEPTION 'the replica is being reset' USING ERRCODE = 'PF001';
	END IF;
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'changes are applied in READ COMMITTED transactions only'
			USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	PERFORM pg_advisory_xact_lock(1885824611, 3);
	IF current_setting('transaction_read_only')::boolean THEN
		RAISE EXCEPTION 'the replica is read-only'
			USING ERRCODE = 'read_only_sql_transaction';
	END IF;
	SELECT s.follows INTO follows FROM pgfanout.streams s WHERE s.stream = 3;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'pgfanout.streams or pgfanout.tables has lost a row'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'Run reset-replicas for this replica.';
	END IF;
	IF msg_source <> '' AND msg_source <> follows THEN
		IF pgfanout.succeeds(msg_source, follows) THEN
			PERFORM pgfanout.follow_successor(3::smallint, msg_source, false);
			follows := msg_source;
		ELSIF pgfanout.succeeds(follows, msg_source) THEN
			beats := NULL;
			earlier := true;
		ELSIF msg_source = ANY (ARRAY(SELECT unnest(s.followed) FROM pgfanout.streams s
			WHERE s.stream = 3))
		THEN
			RETURN 0;
		ELSE
			RAISE EXCEPTION 'changes of another primary: their source is %, this replica follows %',
				msg_source, follows USING ERRCODE = 'PF002',
				HINT = 'Give each installation a virtual host or a QUEUE_PREFIX of its own. If '
					'the primary was replaced, run reset-replicas.';
		END IF;
	END IF;
	IF runs IS NULL THEN
		PERFORM set_config('synchronous_commit', 'off', true);
	END IF;
	IF runs IS NOT NULL THEN
		INSERT INTO pgfanout.arrivals (stream, runs) VALUES (3, runs);
	END IF;
	IF earlier AND changed > 0 THEN
		UPDATE pgfanout.streams s SET unverified = clock_timestamp() WHERE s.stream = 3;
	END IF;
	IF beats IS NOT NULL THEN
		PERFORM pgfanout.beat(3::smallint, beats, msg_source);
	END IF;
	RETURN changed;
END $pgfanout$;
COMMENT ON FUNCTION pgfanout.arrive_3(text, bigint[], jsonb)
	IS 'pgfanout: takes in messages and heartbeats that came without a change';
