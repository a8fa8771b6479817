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

-- The rules of the API hold for every writer, so that every replica can take what the primary has taken. 15 digits: below 10^15,
-- and with a decimal point at most 16 characters.
ALTER TABLE products
	DROP CONSTRAINT IF EXISTS products_name_check,
	DROP CONSTRAINT IF EXISTS products_price_check,
	DROP CONSTRAINT IF EXISTS products_stock_check,
	DROP CONSTRAINT IF EXISTS products_times_check,
	ADD CONSTRAINT products_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
	ADD CONSTRAINT products_price_check CHECK
		(price >= 0 AND price < 1000000000000000 AND scale(price) <= 4 AND length(price::text) <= 16),
	ADD CONSTRAINT products_stock_check CHECK (stock >= 0),
	ADD CONSTRAINT products_times_check CHECK
		(created_at >= '0001-01-01 00:00:00Z' AND created_at < '10000-01-01 00:00:00Z' AND
		 updated_at >= '0001-01-01 00:00:00Z' AND updated_at < '10000-01-01 00:00:00Z');
