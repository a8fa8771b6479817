-- On the primary: the queues of these replicas exist from now on, so that one that is missing later
-- was deleted. $2: the stream.
INSERT INTO pgfanout.queues (stream, replica) SELECT $2::smallint, unnest($1::text[])
ON CONFLICT (stream, replica) DO NOTHING
