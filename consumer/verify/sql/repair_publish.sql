-- On the primary, a transaction of its own: records the product $1 once more, as it is, under a new
-- version; or that it does not exist. One product a transaction: it holds no other lock while it waits, so
-- it cannot be part of a deadlock.
SELECT pgfanout.publish_1(ARRAY[$1::uuid]::text[])
