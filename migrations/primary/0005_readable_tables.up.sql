-- The same question as that of the replicas' view of this name: which tables may be read, and in which shape. Here it
-- is every registered one.
CREATE VIEW pgfanout.readable_tables AS SELECT id, shape, relation FROM pgfanout.registered;
COMMENT ON VIEW pgfanout.readable_tables IS 'pgfanout: the registered tables, and their shapes';
GRANT SELECT ON pgfanout.readable_tables TO PUBLIC;

-- As the function of two arguments; also if the table of that name is another one.
CREATE FUNCTION pgfanout.readable("table" integer, shape integer, relation regclass) RETURNS boolean
	LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
#variable_conflict use_column
BEGIN
	IF pgfanout.readable(readable."table", readable.shape)
		AND EXISTS (SELECT FROM pgfanout.registered r WHERE r.id = readable."table" AND r.relation = readable.relation) THEN
		RETURN true;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'PF006',
		MESSAGE = pg_catalog.format('%s is not the registered table %s', readable.relation, readable."table"),
		HINT = 'SELECT id, relation, shape FROM pgfanout.registered shows which is.';
END $$;
COMMENT ON FUNCTION pgfanout.readable(integer, integer, regclass)
	IS 'pgfanout: true if this registered table has this shape; SQLSTATE PF006 if not';
