-- A replica is as the primary $1, by a comparison of all tables that began there at $2: streams that followed it by then
-- have nothing of an earlier one.
UPDATE pgfanout.streams SET unverified = NULL WHERE follows = $1::text AND unverified < $2::timestamptz
