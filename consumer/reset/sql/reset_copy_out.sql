-- On the primary, in the snapshot's transaction. The casts make the binary format the same whatever
-- types an older catalogue was made with. Version 0: it came with a snapshot.
COPY (SELECT id::uuid, name::text, price::numeric, stock::integer, created_at::timestamptz,
	updated_at::timestamptz, 0::bigint
	FROM products) TO STDOUT (FORMAT binary)
