-- Applies a batch of changes, and tells which messages and heartbeats came with it; says how many
-- changed something. See migrations/replica/0002_apply.up.sql.
SELECT products_apply($1::text, $2::uuid[], $3::bigint[], $4::xid8[], $5::boolean[],
	$6::text[], $7::text[], $8::integer[], $9::timestamptz[], $10::timestamptz[], $11::bigint[],
	$12::jsonb, $13::bigint)
