-- The streams that this replica knows.
SELECT stream, name FROM pgfanout.streams ORDER BY stream
