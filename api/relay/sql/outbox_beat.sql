-- A heartbeat of the stream $1: a record that goes the way of all changes, and so measures it.
-- statement_timestamp() was taken before this transaction got its id: whatever was committed before that
-- time has a smaller id, or was swept already, and is in front of the heartbeat. A version of the sequence
-- would look as if there had been a change; being alone in its transaction it needs none.
INSERT INTO pgfanout.outbox (stream, version, kind, heartbeat)
VALUES ($1::smallint, 1, 'b', statement_timestamp())
