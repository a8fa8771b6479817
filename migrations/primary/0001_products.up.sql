-- The catalogue itself. A table that is already there is kept with all its rows.
CREATE TABLE IF NOT EXISTS products (
	id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
	name       text        NOT NULL,
	price      numeric     NOT NULL,
	stock      integer     NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);

-- A table that is already there must be one table, so that each change of it meets its triggers; it
-- must outlive a crash, show all its rows to us, and have ids that are unique at any time, and exact
-- prices and times. Types other than the first one named are converted wherever they are read.
DO $$
DECLARE
	wrong text;
BEGIN
	SELECT string_agg(t.what, '; ') INTO wrong FROM (
		SELECT CASE c.relkind WHEN 'p' THEN 'it is partitioned: changes of its partitions '
				'would not be seen'
			ELSE 'it is not an ordinary table' END AS what
		FROM pg_class c WHERE c.oid = 'products'::regclass AND c.relkind <> 'r'
		UNION ALL
		SELECT 'it is a partition, inherits from a table or is inherited from: changes '
			'through the other one would not be seen'
		FROM pg_class c WHERE c.oid = 'products'::regclass AND c.relkind = 'r'
			AND EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent))
		UNION ALL
		SELECT 'it is UNLOGGED, a crash would empty it: ALTER TABLE products SET LOGGED'
		FROM pg_class c WHERE c.oid = 'products'::regclass AND c.relpersistence = 'u'
		UNION ALL
		SELECT format('row level security hides rows of it from %I: connect as its owner '
			'(and ALTER TABLE products NO FORCE ROW LEVEL SECURITY) or as a role with '
			'BYPASSRLS', current_user)
		FROM pg_class c WHERE c.oid = 'products'::regclass AND c.relkind = 'r'
			AND row_security_active(c.oid)
	) AS t;
	IF wrong IS NULL THEN
		SELECT string_agg(format('column %I must be there, of type %s, and not generated',
			w.name, array_to_string(w.types, ' or ')), '; ')
		INTO wrong
		FROM (VALUES ('id', '{uuid}'::regtype[]), ('name', '{text,varchar}'),
			('price', '{numeric}'), ('stock', '{integer,bigint,smallint}'),
			('created_at', '{timestamptz}'), ('updated_at', '{timestamptz}'))
			AS w (name, types)
		LEFT JOIN pg_attribute a ON a.attrelid = 'products'::regclass
			AND a.attname = w.name AND NOT a.attisdropped
		WHERE a.attname IS NULL OR NOT a.atttypid = ANY (w.types)
			OR a.attgenerated <> '' OR a.attidentity <> '';
	END IF;
	IF wrong IS NULL AND NOT EXISTS (
		SELECT FROM pg_index i
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'id'
		WHERE i.indrelid = 'products'::regclass AND i.indisunique AND i.indisvalid
			AND i.indimmediate AND i.indpred IS NULL
			AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
	THEN
		wrong := 'column id must be its primary key, not deferrable';
	END IF;
	IF wrong IS NOT NULL THEN
		RAISE EXCEPTION 'the table products that is already there cannot be replicated: %',
			wrong
			USING ERRCODE = 'invalid_table_definition';
	END IF;
	-- An id of its own making, UUIDv7 maybe, stays.
	IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'products'::regclass
		AND attname = 'id' AND atthasdef)
	THEN
		ALTER TABLE products ALTER COLUMN id SET DEFAULT gen_random_uuid();
	END IF;
END $$;
ALTER TABLE products
	ALTER COLUMN id SET NOT NULL,
	ALTER COLUMN name SET NOT NULL,
	ALTER COLUMN price SET NOT NULL,
	ALTER COLUMN stock SET NOT NULL, ALTER COLUMN stock SET DEFAULT 0,
	ALTER COLUMN created_at SET NOT NULL, ALTER COLUMN created_at SET DEFAULT now(),
	ALTER COLUMN updated_at SET NOT NULL, ALTER COLUMN updated_at SET DEFAULT now();
COMMENT ON TABLE products
	IS 'pgfanout: the product catalogue; every change of it reaches every replica';

-- These rules hold for every writer, so that every replica can take what the primary has taken. The
-- API takes prices of fewer digits than the table: SQL makes longer ones (19.99 / 3), and they
-- replicate to the last digit. NaN and infinity are refused.
ALTER TABLE products
	DROP CONSTRAINT IF EXISTS products_name_check,
	DROP CONSTRAINT IF EXISTS products_price_check,
	DROP CONSTRAINT IF EXISTS products_stock_check,
	DROP CONSTRAINT IF EXISTS products_times_check,
	ADD CONSTRAINT products_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
	ADD CONSTRAINT products_price_check CHECK
		(price >= 0 AND price < 1000000000000000 AND length(price::text) <= 64),
	ADD CONSTRAINT products_stock_check CHECK (stock >= 0 AND stock <= 2147483647),
	ADD CONSTRAINT products_times_check CHECK
		(created_at >= '0001-01-01 00:00:00Z' AND created_at < '10000-01-01 00:00:00Z' AND
		 updated_at >= '0001-01-01 00:00:00Z' AND updated_at < '10000-01-01 00:00:00Z');

-- Whoever changes a product without saying when has changed it now. A value of the statement's own
-- counts; logical replication, which brings the times of its origin, does not fire this.
CREATE OR REPLACE FUNCTION products_touch() RETURNS trigger
	LANGUAGE plpgsql
AS $$
BEGIN
	NEW.updated_at := now();
	RETURN NEW;
END $$;
COMMENT ON FUNCTION products_touch() IS 'pgfanout: sets updated_at where a change leaves it as it was';
DROP TRIGGER IF EXISTS products_touch ON products;
CREATE TRIGGER products_touch BEFORE UPDATE ON products
	FOR EACH ROW WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION products_touch();
