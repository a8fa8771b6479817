-- Readable: what reads a table by a description of it (the API's resources) asks with every read whether the
-- table is what the description says. It is the same question on the primary and on replicas, so one statement
-- serves both; only the answer is found elsewhere.
--
-- It runs once in every read: an index look-up in a plan that the session keeps. No SET, which would cost more
-- than the look-up; so all names are written in full.

CREATE FUNCTION pgfanout.readable("table" integer, shape integer) RETURNS boolean
	LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
#variable_conflict use_column
DECLARE
	has integer;
BEGIN
	SELECT r.shape INTO has FROM pgfanout.registered r WHERE r.id = readable."table";
	IF has = readable.shape THEN
		RETURN true;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'PF006',
		MESSAGE = CASE WHEN has IS NULL THEN pg_catalog.format('no table is registered as number %s', readable."table")
			ELSE pg_catalog.format('table %s has shape %s, not %s', readable."table", has, readable.shape) END,
		HINT = 'SELECT id, relation, shape FROM pgfanout.registered shows what is.';
END $$;
COMMENT ON FUNCTION pgfanout.readable(integer, integer)
	IS 'pgfanout: true if a registered table has this shape; SQLSTATE PF006 if not';
