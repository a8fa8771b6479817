-- What pgfanout.readable() says, as one row a table: a read looks for it by indexes of small tables, which costs half of
-- the function, and calls the function only where it is not there, to say why. The primary has a view of the same
-- name.
--
-- One condition is about shapes: left_out, a newer shape of the table could not be brought here, or comes with a load. It
-- is kept in the table's row, by triggers: shapes of a table are written by one session at a time, the worker of its
-- stream or a reset.

ALTER TABLE pgfanout.tables ADD COLUMN left_out boolean NOT NULL DEFAULT true;

CREATE FUNCTION pgfanout.leaves_out("table" integer, shape integer) RETURNS boolean
	LANGUAGE sql STABLE
AS $$
	SELECT EXISTS (SELECT FROM pgfanout.shapes n
		WHERE n.description -> 'table' = pg_catalog.to_jsonb(leaves_out."table") AND n.id > leaves_out.shape
			AND (n.waiting IS NOT NULL OR n.pending))
$$;
COMMENT ON FUNCTION pgfanout.leaves_out(integer, integer) IS 'pgfanout: changes of a table in this shape are left out';

CREATE FUNCTION pgfanout.note_table() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	NEW.left_out := pgfanout.leaves_out(NEW.id, NEW.shape);
	RETURN NEW;
END $$;
COMMENT ON FUNCTION pgfanout.note_table() IS 'pgfanout: trigger: whether changes of a table are left out';
CREATE TRIGGER note_table BEFORE INSERT OR UPDATE OF shape ON pgfanout.tables
	FOR EACH ROW EXECUTE FUNCTION pgfanout.note_table();

CREATE FUNCTION pgfanout.note_shape() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE pgfanout.tables t SET left_out = NOT t.left_out
		WHERE t.id IN ((OLD.description ->> 'table')::integer, (NEW.description ->> 'table')::integer)
			AND t.left_out <> pgfanout.leaves_out(t.id, t.shape);
	RETURN NULL;
END $$;
COMMENT ON FUNCTION pgfanout.note_shape() IS 'pgfanout: trigger: whether changes of a table are left out';
CREATE TRIGGER note_shape AFTER INSERT OR DELETE OR UPDATE ON pgfanout.shapes
	FOR EACH ROW EXECUTE FUNCTION pgfanout.note_shape();

UPDATE pgfanout.tables SET shape = shape;

CREATE VIEW pgfanout.readable_tables AS
	SELECT t.id, t.shape, t.relation
	FROM pgfanout.tables t JOIN pgfanout.streams s ON s.stream = t.stream
	WHERE NOT t.due AND t.dropped IS NULL AND NOT t.left_out AND NOT s.needs_reset;
COMMENT ON VIEW pgfanout.readable_tables IS 'pgfanout: the tables that are here with all their rows, and in which shape';
GRANT SELECT ON pgfanout.readable_tables TO PUBLIC;

-- As the function of two arguments; also if the table of that name is not ours any more.
CREATE FUNCTION pgfanout.readable("table" integer, shape integer, relation regclass) RETURNS boolean
	LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
#variable_conflict use_column
BEGIN
	IF pgfanout.readable(readable."table", readable.shape)
		AND EXISTS (SELECT FROM pgfanout.tables t WHERE t.id = readable."table" AND t.relation = readable.relation) THEN
		RETURN true;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'PF006',
		MESSAGE = pg_catalog.format('%s is not the table %s here', readable.relation, readable."table"),
		HINT = 'Somebody has put another table in its place; SELECT * FROM pgfanout.tables shows where it is.';
END $$;
COMMENT ON FUNCTION pgfanout.readable(integer, integer, regclass)
	IS 'pgfanout: true if this is the table, in this shape, with all its rows; SQLSTATE PF006 if not';
