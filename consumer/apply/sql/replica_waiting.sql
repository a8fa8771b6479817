-- The tables of the stream $1 that this replica is still to have, each with the newest shape that is known here.
SELECT DISTINCT ON (description -> 'table') id, description FROM pgfanout.known
WHERE coming AND description ->> 'stream' = $1::text
ORDER BY description -> 'table', id DESC
