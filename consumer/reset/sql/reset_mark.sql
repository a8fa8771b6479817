-- On a replica, before a reset declares a missing queue of the stream $1 again: if the reset fails, it is
-- still known that the queue was missing.
UPDATE pgfanout.streams SET needs_reset = true, auto_reset = true,
	reason = 'a queue of it was missing when a reset began'
WHERE stream = $1::smallint AND NOT (needs_reset AND auto_reset)
