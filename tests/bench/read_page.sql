\set n random(1, 100000)
SELECT json_agg(p) FROM (SELECT id, name, price, stock, created_at, updated_at FROM products WHERE id > md5(:n::text)::uuid ORDER BY id LIMIT 50) p;
