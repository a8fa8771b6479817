-- How far the synchronous standbys are; NULL: nobody waits for them.
SELECT pgfanout.standbys_flushed()
