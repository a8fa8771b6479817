-- The rows of all tables that are wrong on this replica, one more of each table than the API can hold
-- (WRONG_MAX), so that it can tell.
SELECT w."table", w."row" FROM pgfanout.wrong_rows(10001) w
