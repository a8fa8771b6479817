-- Which of these sessions wait, in their commit, for a synchronous standby.
SELECT pid FROM pg_stat_activity WHERE pid = ANY ($1::integer[]) AND wait_event = 'SyncRep'
