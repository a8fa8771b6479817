-- The shapes of the stream $1 whose changes are left out here.
SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '') FROM pgfanout.known
WHERE left_out AND description ->> 'stream' = $1::text
