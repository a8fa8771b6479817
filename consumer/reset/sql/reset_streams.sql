-- On the primary: its streams, or the one $1.
SELECT id, name FROM pgfanout.streams WHERE $1::smallint IS NULL OR id = $1::smallint ORDER BY id
