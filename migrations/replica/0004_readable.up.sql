-- Readable: what reads a table by a description of it (the API's resources) asks with every read whether the
-- table is what the description says, and whether its rows may be shown. The primary has a function of the same
-- name. A read is to be answered elsewhere (SQLSTATE PF006) if
--
--   1. the table is not here, or was dropped by somebody;
--   2. it has another shape: the one that is asked for has not come yet, or a newer one has;
--   3. its rows are yet to be loaded: it is new, or has columns that they have no values of;
--   4. it is registered no more;
--   5. a newer shape of it could not be brought, or comes with a load: its changes are left out until then;
--   6. its stream has lost changes: the replica needs a reset.
--
-- It runs once in every read: index look-ups in plans that the session keeps. No SET, which would cost more than
-- they do; so all names are written in full.

-- Of 5: nearly always empty, whatever shapes there have been.
CREATE INDEX shapes_left_out ON pgfanout.shapes ((description -> 'table'), id)
	WHERE waiting IS NOT NULL OR pending;
COMMENT ON INDEX pgfanout.shapes_left_out IS 'pgfanout: shapes of tables that have not been brought here';

-- Who may read tables and shapes may read this.
GRANT SELECT (stream, needs_reset) ON pgfanout.streams TO PUBLIC;

CREATE FUNCTION pgfanout.readable("table" integer, shape integer) RETURNS boolean
	LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
#variable_conflict use_column
DECLARE
	reason text;
BEGIN
	-- has_table_privilege() is NULL where there is no such table: cheaper than to look into pg_class.
	IF EXISTS (SELECT FROM pgfanout.tables t
			WHERE t.id = readable."table" AND t.shape = readable.shape AND NOT t.due AND t.dropped IS NULL
				AND pg_catalog.has_table_privilege(t.relation, 'SELECT') IS NOT NULL
				AND (SELECT NOT s.needs_reset FROM pgfanout.streams s WHERE s.stream = t.stream))
		AND NOT EXISTS (SELECT FROM pgfanout.shapes n
			WHERE n.description -> 'table' = pg_catalog.to_jsonb(readable."table") AND n.id > readable.shape
				AND (n.waiting IS NOT NULL OR n.pending))
	THEN
		RETURN true;
	END IF;
	SELECT CASE
		WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.relation) THEN 'was dropped here'
		WHEN t.shape <> readable.shape THEN pg_catalog.format('has shape %s here, not %s', t.shape, readable.shape)
		WHEN t.due THEN 'has rows that are yet to be loaded here'
		WHEN t.dropped IS NOT NULL THEN 'is registered no more'
		WHEN coalesce(s.needs_reset, true) THEN 'may lack changes here: the replica needs a reset'
		ELSE 'has a newer shape that could not be brought here yet' END
	INTO reason
	FROM pgfanout.tables t LEFT JOIN pgfanout.streams s ON s.stream = t.stream WHERE t.id = readable."table";
	RAISE EXCEPTION USING ERRCODE = 'PF006',
		MESSAGE = pg_catalog.format('table %s %s', readable."table", coalesce(reason, 'is not here')),
		HINT = 'The consumer brings it; SELECT * FROM pgfanout.tables and pgfanout.shapes show how far it is.';
END $$;
COMMENT ON FUNCTION pgfanout.readable(integer, integer)
	IS 'pgfanout: true if a table is here in this shape, with all its rows; SQLSTATE PF006 if not';

-- The rows that are wrong here: a change of theirs was given up, and the row is still older than it. At most so
-- many of a table. A row is the texts of its key with U+001F between them; NULL stands for all rows of a table
-- whose keys cannot be looked up any more.
CREATE FUNCTION pgfanout.wrong_rows(most integer) RETURNS TABLE ("table" integer, "row" text)
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
COMMENT ON FUNCTION pgfanout.wrong_rows(integer)
	IS 'pgfanout: rows that are wrong on this replica, because a change of theirs was given up';
