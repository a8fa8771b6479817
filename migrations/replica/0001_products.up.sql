-- The replica's copy of the catalogue. version: that of the last change applied to the row; 0: it
-- came with a reset's snapshot. The primary's rules are not repeated here: a replica takes what the
-- primary has taken.
CREATE TABLE IF NOT EXISTS products (
	id         uuid        PRIMARY KEY,
	name       text        NOT NULL,
	price      numeric     NOT NULL,
	stock      integer     NOT NULL,
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	version    bigint      NOT NULL DEFAULT 0
);
ALTER TABLE products ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 0;
COMMENT ON TABLE products
	IS 'pgfanout: replica of the primary''s products; written by pgfanout-consumer and '
		'reset-replicas alone';
COMMENT ON COLUMN products.version
	IS 'pgfanout: version of the last change applied; 0: from the snapshot of the last reset';
