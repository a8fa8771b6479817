DROP TRIGGER count_wrong ON pgfanout.dead_letters;
DROP FUNCTION pgfanout.count_wrong();
DROP TABLE pgfanout.positions, pgfanout.wrong_changes;
DO $$
DECLARE
	s regclass;
BEGIN
	FOR s IN SELECT oid FROM pg_class
		WHERE relnamespace = 'pgfanout'::regnamespace AND relkind = 'S' AND relname ~ '^seen_[0-9]+$'
	LOOP
		EXECUTE format('DROP SEQUENCE %s', s);
	END LOOP;
END $$;
