-- What pgfanout.readable() says, as one row a table: a read looks for it by an index of one small table, which costs a
-- third of the function, and calls the function only where it is not there, to say why. The primary has a view of the
-- same name.
--
-- Two conditions of six are about other tables, so they are kept in the table's row, by triggers:
--   lacking   its stream has lost changes
--   left_out  a newer shape of it could not be brought here, or comes with a load
-- A row that is inserted takes a share of its stream's, so that neither misses what the other one does. Shapes of a
-- table are written by one session at a time, the worker of its stream or a reset.

ALTER TABLE pgfanout.tables
	ADD COLUMN lacking boolean NOT NULL DEFAULT true,
	ADD COLUMN left_out boolean NOT NULL DEFAULT true;

CREATE FUNCTION pgfanout.leaves_out("table" integer, shape integer) RETURNS boolean
	LANGUAGE sql STABLE
AS $$
	SELECT EXISTS (SELECT FROM pgfanout.shapes n
		WHERE n.description -> 'table' = pg_catalog.to_jsonb(leaves_out."table") AND n.id > leaves_out.shape
			AND (n.waiting IS NOT NULL OR n.pending))
$$;
COMMENT ON FUNCTION pgfanout.leaves_out(integer, integer) IS 'pgfanout: changes of a table in this shape are left out';

CREATE FUNCTION pgfanout.note_table() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	NEW.left_out := pgfanout.leaves_out(NEW.id, NEW.shape);
	IF TG_OP = 'INSERT' OR NEW.stream <> OLD.stream THEN
		NEW.lacking := coalesce((SELECT s.needs_reset FROM pgfanout.streams s WHERE s.stream = NEW.stream FOR SHARE), true);
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION pgfanout.note_table() IS 'pgfanout: trigger: whether changes of a table are left out or lost';
CREATE TRIGGER note_table BEFORE INSERT OR UPDATE OF stream, shape ON pgfanout.tables
	FOR EACH ROW EXECUTE FUNCTION pgfanout.note_table();

CREATE FUNCTION pgfanout.note_stream() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE pgfanout.tables t SET lacking = coalesce(NEW.needs_reset, true)
		WHERE t.stream IN (OLD.stream, NEW.stream) AND t.lacking <> coalesce(NEW.needs_reset, true);
	RETURN NULL;
END $$;
COMMENT ON FUNCTION pgfanout.note_stream() IS 'pgfanout: trigger: whether changes of a stream are lost';
CREATE TRIGGER note_stream AFTER INSERT OR DELETE OR UPDATE OF needs_reset ON pgfanout.streams
	FOR EACH ROW EXECUTE FUNCTION pgfanout.note_stream();

CREATE FUNCTION pgfanout.note_shape() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
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

UPDATE pgfanout.tables SET stream = stream, shape = shape,
	lacking = coalesce((SELECT s.needs_reset FROM pgfanout.streams s WHERE s.stream = tables.stream), true);

-- Whether the table is still the one of that name the reader asks himself: relation = '…'::regclass.
CREATE VIEW pgfanout.readable_tables AS
	SELECT id, shape, relation FROM pgfanout.tables WHERE NOT due AND dropped IS NULL AND NOT lacking AND NOT left_out;
COMMENT ON VIEW pgfanout.readable_tables IS 'pgfanout: the tables that are here with all their rows, and in which shape';
GRANT SELECT ON pgfanout.readable_tables TO PUBLIC;
