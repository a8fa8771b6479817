-- Tables that have been altered are seen to.
SELECT CASE WHEN NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::boolean
	THEN pgfanout.notice(false) END
