-- Tries what waits in the stream $1 again: pgfanout.settle().
SELECT applied, remaining, died FROM pgfanout.settle($1::smallint, $2::integer, $3::bigint, $4::boolean)
