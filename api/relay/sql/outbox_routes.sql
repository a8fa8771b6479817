-- What is to be known of shapes to send rows that have them.
SELECT s.id, s.description
FROM pgfanout.shapes s WHERE s.id = ANY ($1::integer[])
