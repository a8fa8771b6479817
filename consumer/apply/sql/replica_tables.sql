-- The shapes of tables of the stream $1 that this replica knows: with the shape that the table has here, where
-- that is another one; whether its changes are taken; whether the replica is still to have it; the queue that
-- has said that it is registered no more. By their numbers.
SELECT k.id, k.description, h.id, h.description, (NOT k.left_out)::int, k.coming::int, k.dropped
FROM pgfanout.known k
LEFT JOIN pgfanout.shapes h ON h.id = k.here AND h.id <> k.id
WHERE k.description ->> 'stream' = $1::text
ORDER BY k.id
