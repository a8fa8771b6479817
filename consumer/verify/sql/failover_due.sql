-- Whether a replica is to be compared with the primary that it follows: not before all its streams do.
SELECT count(DISTINCT s.follows) = 1 AND coalesce(bool_or(s.unverified IS NOT NULL), false)
FROM pgfanout.streams s WHERE s.follows IS NOT NULL
