-- Rows and their versions stay: taking a migration back never loses products and never forgets how
-- new they are.
COMMENT ON TABLE products IS NULL;
COMMENT ON COLUMN products.version IS NULL;
