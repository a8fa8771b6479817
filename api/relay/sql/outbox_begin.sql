-- What a new leader needs to know: the name of the space that transaction ids belong to, in an epoch that has begun; a
-- version that is at least that of every change published so far; and of which name the records of transactions
-- before which one are, that have waited since the epoch before. What is selected is so after the epoch has begun.
SELECT epoch.source, (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM pgfanout.version_seq),
	(SELECT pgfanout.source(last_value) FROM pgfanout.epoch_before), (SELECT last_value FROM pgfanout.epoch_xid)
FROM (SELECT pgfanout.current_source() AS source OFFSET 0) AS epoch
