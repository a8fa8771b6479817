-- Rows stay: taking a migration back never loses products. Only the rules go.
ALTER TABLE products
	DROP CONSTRAINT IF EXISTS products_name_check,
	DROP CONSTRAINT IF EXISTS products_price_check,
	DROP CONSTRAINT IF EXISTS products_stock_check,
	DROP CONSTRAINT IF EXISTS products_times_check;
DROP TRIGGER IF EXISTS products_touch ON products;
DROP FUNCTION IF EXISTS products_touch();
