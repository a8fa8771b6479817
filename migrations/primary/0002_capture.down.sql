-- Changes are no longer recorded as they happen. Which transaction wrote which row is remembered,
-- so that the next `up` finds what changed meanwhile and records it then. Recorded changes that
-- wait for the broker stay, and so does the sequence: versions never go back.
-- What has been missed until now is recorded for the next `up`.
SELECT products_capture_fault();
DROP FUNCTION IF EXISTS products_capture_fault();
DROP FUNCTION IF EXISTS products_columns();

DROP TRIGGER IF EXISTS products_capture_insert ON products;
DROP TRIGGER IF EXISTS products_capture_update ON products;
DROP TRIGGER IF EXISTS products_capture_delete ON products;
DROP TRIGGER IF EXISTS products_capture_moved ON products;
DROP TRIGGER IF EXISTS products_capture_truncate ON products;
DROP TRIGGER IF EXISTS products_capture_applied ON products;
DROP FUNCTION IF EXISTS products_capture_statement();
DROP FUNCTION IF EXISTS products_capture_row();
DROP FUNCTION IF EXISTS products_capture_truncate();
DROP FUNCTION IF EXISTS products_source();

-- After the triggers are gone: dropping them has waited for all writers, and keeps them out until
-- this commits.
CREATE TABLE IF NOT EXISTS products_capture_paused AS SELECT id, xmin AS written FROM products;
COMMENT ON TABLE products_capture_paused
	IS 'pgfanout: which transaction had written which product when pgfanout-migrate down '
		'ended the recording; the next up compares, and drops it';
