-- How far this replica is, in the primary's WAL: what a read may rely on that must not see less than its client has
-- seen or written. Places are bytes: pg_lsn - '0/0'.
--
--   pgfanout.positions  per stream: everything of the primary `source` that was committed before `lsn` is here, or its
--                       row is known to be wrong here (dead_letters). Written in the transaction that takes in the
--                       heartbeat which says so. The newest row of a stream counts; older ones are deleted with the
--                       next. A table that only grows, read from its end, is as quick when an old snapshot keeps
--                       vacuum away; a row that is updated 25 times a second is not.
--   pgfanout.seen_<n>   per stream: what is visible here was committed before this place. Set in the transaction
--                       that brings it, before it commits. A sequence, because its value is visible at once and
--                       leaves no dead rows: a reader that finds a change finds its place, at least.
--   pgfanout.wrong_changes  how often rows were found to be wrong here. `wrong` of a position is what it was then:
--                       who knows of fewer does not know which rows `lsn` does not hold for.

CREATE TABLE pgfanout.positions (
	stream smallint NOT NULL,
	lsn    bigint   NOT NULL,
	source text     NOT NULL, -- pgfanout.source() of the primary
	wrong  bigint   NOT NULL,
	PRIMARY KEY (stream, lsn)
);
COMMENT ON TABLE pgfanout.positions IS 'pgfanout: places in the primary''s WAL up to which everything is here';
CREATE TABLE pgfanout.wrong_changes (n bigint NOT NULL);
COMMENT ON TABLE pgfanout.wrong_changes IS 'pgfanout: how often rows were found to be wrong here';
INSERT INTO pgfanout.wrong_changes VALUES (0);

-- The row's lock makes whoever counts next wait for the commit: the number is that of what is visible.
CREATE FUNCTION pgfanout.count_wrong() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE pgfanout.wrong_changes SET n = n + 1;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION pgfanout.count_wrong() IS 'pgfanout: trigger: rows were found to be wrong';
CREATE TRIGGER count_wrong AFTER INSERT OR UPDATE ON pgfanout.dead_letters
	FOR EACH STATEMENT EXECUTE FUNCTION pgfanout.count_wrong();

-- Of the streams that are here; those to come get theirs with their functions (common/wire/table_replica.c).
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
