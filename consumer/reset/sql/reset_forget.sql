-- On a replica: what is asked for (all tables of the streams $1, or those with the numbers $2) and is not
-- registered, as $3 are, is none of ours any more. Its rows stay.
SELECT pgfanout.forget(t.id, false) FROM pgfanout.tables t
WHERE t.id <> 1 AND (t.stream = ANY ($1::smallint[]) OR t.id::text = ANY ($2::text[])) AND t.id <> ALL ($3::integer[])
