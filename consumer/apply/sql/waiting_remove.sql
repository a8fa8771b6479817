-- These are in the dead-letter queue.
DELETE FROM pgfanout.waiting WHERE number = ANY ($1::bigint[]) AND dead
