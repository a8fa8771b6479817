-- A standby that is promoted is taken for the primary that was. Where one has been promoted already, run reset-replicas
-- afterwards: replicas follow the epoch that began then. Which one that was is kept, in sequences, for the next `up`.
DROP TRIGGER begin_epoch ON pgfanout.outbox;
DROP FUNCTION pgfanout.on_record();
DROP FUNCTION pgfanout.standbys_flushed();
DROP FUNCTION pgfanout.is_fenced();
DROP FUNCTION pgfanout.fence(boolean);
DROP FUNCTION pgfanout.current_source();
DROP FUNCTION pgfanout.begin_epoch();
DROP FUNCTION pgfanout.begin_epoch_alone();
CREATE OR REPLACE FUNCTION pgfanout.source() RETURNS text
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- The database too: two installations may share a server.
	RETURN (SELECT system_identifier || '/' || d.oid FROM pg_control_system(), pg_database d
		WHERE d.datname = current_database());
EXCEPTION WHEN insufficient_privilege THEN
	RETURN 'table-' || 'pgfanout.origin'::regclass::oid;
END $$;
DROP FUNCTION pgfanout.source(bigint);
DROP FUNCTION pgfanout.timeline();
DROP TABLE pgfanout.epochs;
