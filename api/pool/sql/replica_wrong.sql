-- How often rows were found to be wrong on this replica; and the rows of all tables that are, one more of each
-- table than the API can hold (WRONG_MAX), so that it can tell.
SELECT NULL::integer AS "table", n::text AS "row" FROM pgfanout.wrong_changes
UNION ALL
SELECT w."table", w."row" FROM pgfanout.wrong_rows(10001) w
