-- The catalogue itself. A table that is already there is kept with all its rows.
CREATE TABLE IF NOT EXISTS products (
	id         uuid        PRIMARY KEY,
	name       text        NOT NULL,
	price      numeric     NOT NULL,
	stock      integer     NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE products IS 'pgfanout: the product catalogue; every change of it reaches every replica';

-- What makes a product holds for every writer, so that every replica can take what the primary has taken. Of prices the API takes fewer
-- digits than the table: SQL makes longer ones (19.99 / 3), and they replicate to the last digit. Not a number and infinity are none.
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
