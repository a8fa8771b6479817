-- On a replica: why it gets no reads until it is reset, whatever is in the tables of the stream $1. No
-- row: it does not need a reset.
SELECT coalesce(reason, 'it is marked so') AS reason FROM pgfanout.streams
WHERE stream = $1::smallint AND needs_reset
