-- How far the synchronous standbys are; NULL: nobody waits for them. $1: they may lack what is not on this server's disk
-- yet, as it is of commits that wait for nothing, and the server is in no hurry: with this commit it is written.
WITH written AS MATERIALIZED (
	SELECT CASE WHEN $1::boolean THEN set_config('synchronous_commit', 'local', true) END,
		CASE WHEN $1::boolean THEN pg_logical_emit_message(true, 'pgfanout', '') END
)
SELECT pgfanout.standbys_flushed() FROM written
