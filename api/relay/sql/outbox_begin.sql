-- What a new leader needs to know: the name of the space that transaction ids belong to, and a
-- version that is at least that of every change published so far.
SELECT pgfanout.source(), CASE WHEN is_called THEN last_value ELSE 0 END FROM pgfanout.version_seq
