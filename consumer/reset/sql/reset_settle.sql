-- On the primary, after the snapshot and in a transaction of its own: a record in the WAL, and a
-- commit that waits until the WAL is on the disk. Transactions that were over in the snapshot may
-- have left nothing there yet, because they failed or did not wait. After a crash the primary would
-- then give their ids out again, and changes under those ids would look as if the snapshot had
-- them.
SELECT pg_logical_emit_message(true, 'pgfanout', 'reset')
