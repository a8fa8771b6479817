-- On a replica, with the locks of a batch of stream $1: it follows the primary $2 from now on, if that succeeds the one
-- that it follows. $3: the new primary has all that the one before, $4, had.
SELECT pgfanout.follow_successor(s.stream, $2::text, $3::boolean AND s.follows = $4::text) FROM pgfanout.streams s
WHERE s.stream = $1::smallint AND pgfanout.succeeds($2::text, s.follows)
