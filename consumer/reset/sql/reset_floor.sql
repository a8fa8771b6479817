-- On the primary, AFTER the snapshot was taken: a version that is at least that of every change
-- visible in it. A sequence knows no transactions, so reading it earlier could give one that is too
-- small. Changes that are not visible may have a smaller version than this; they name their
-- transaction, and the snapshot decides about them.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS floor FROM pgfanout.version_seq
