-- From now on this replica may lack changes of the stream $1, until it has been reset.
UPDATE pgfanout.streams SET needs_reset = true, auto_reset = true, reason = $2::text
WHERE stream = $1::smallint
