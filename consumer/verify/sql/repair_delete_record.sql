-- On the primary, after repair_delete_hold.sql: the delete, which capture records.
DELETE FROM products WHERE id = $1::uuid
