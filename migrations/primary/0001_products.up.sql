-- The catalogue itself. A table that is already there is kept with all its rows.
CREATE TABLE IF NOT EXISTS products (
	id         uuid        PRIMARY KEY,
	name       text        NOT NULL,
	price      numeric     NOT NULL,
	stock      integer     NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);

-- A table that is already there must have ids that are unique at any time, and exact prices and
-- times.
DO $$
DECLARE
	wrong text;
BEGIN
	SELECT string_agg(format('column %I must be there, of type %s', w.name, w.types[1]), '; ')
	INTO wrong
	FROM (VALUES ('id', '{uuid}'::regtype[]), ('name', '{text,varchar}'),
		('price', '{numeric}'), ('stock', '{integer,bigint,smallint}'),
		('created_at', '{timestamptz}'), ('updated_at', '{timestamptz}')) AS w (name, types)
	LEFT JOIN pg_attribute a ON a.attrelid = 'products'::regclass AND a.attname = w.name
		AND NOT a.attisdropped
	WHERE a.attname IS NULL OR NOT a.atttypid = ANY (w.types);
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
	ADD CONSTRAINT products_stock_check CHECK (stock >= 0),
	ADD CONSTRAINT products_times_check CHECK
		(created_at >= '0001-01-01 00:00:00Z' AND created_at < '10000-01-01 00:00:00Z' AND
		 updated_at >= '0001-01-01 00:00:00Z' AND updated_at < '10000-01-01 00:00:00Z');
