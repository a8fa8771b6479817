-- On the primary, after the snapshot and in a transaction of its own: a record in the log, and a
-- commit that waits until the log is on the disk. Transactions that the snapshot has seen finished
-- may have left nothing there yet, having failed or not waited; then a crash would make the primary
-- give their ids out again, and what happens under those ids would look as if the snapshot had it.
SELECT pg_logical_emit_message(true, 'pgfanout', 'reset')
