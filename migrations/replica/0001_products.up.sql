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

-- A table that is already there must take what the primary sends as it is, without rounding it, and
-- keep it.
DO $$
DECLARE
	wrong text;
BEGIN
	SELECT string_agg(t.what, '; ') INTO wrong FROM (
		SELECT 'it is not an ordinary table' AS what
		FROM pg_class c WHERE c.oid = 'products'::regclass AND c.relkind <> 'r'
		UNION ALL
		SELECT 'it is a partition, inherits from a table or is inherited from'
		FROM pg_class c WHERE c.oid = 'products'::regclass AND c.relkind = 'r'
			AND EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent))
		UNION ALL
		SELECT 'it is UNLOGGED, a crash would empty it: ALTER TABLE products SET LOGGED'
		FROM pg_class c WHERE c.oid = 'products'::regclass AND c.relpersistence = 'u'
		UNION ALL
		SELECT 'row level security is on: ALTER TABLE products DISABLE ROW LEVEL SECURITY'
		FROM pg_class c WHERE c.oid = 'products'::regclass
			AND (c.relrowsecurity OR c.relforcerowsecurity)
		UNION ALL
		SELECT format('column %I must be there, of type %s, and not generated', w.name, w.type)
		FROM (VALUES ('id', 'uuid'), ('name', 'text'), ('price', 'numeric'),
			('stock', 'integer'), ('created_at', 'timestamptz'),
			('updated_at', 'timestamptz'), ('version', 'bigint')) AS w (name, type)
		LEFT JOIN pg_attribute a ON a.attrelid = 'products'::regclass
			AND a.attname = w.name AND NOT a.attisdropped
		WHERE NOT coalesce(a.attgenerated = '' AND a.attidentity = ''
			AND (a.atttypid = w.type::regtype AND a.atttypmod = -1
				OR w.name = 'name' AND a.atttypid = 'varchar'::regtype), false)
	) AS t;
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
		RAISE EXCEPTION 'the table products that is already there cannot be a replica: %',
			wrong
			USING ERRCODE = 'invalid_table_definition';
	END IF;
END $$;
COMMENT ON TABLE products
	IS 'pgfanout: replica of the primary''s products; written by pgfanout-consumer and '
		'reset-replicas alone';
COMMENT ON COLUMN products.version
	IS 'pgfanout: version of the last change applied; 0: from the snapshot of the last reset';
