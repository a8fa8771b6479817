\set n random(1, 1000000000)
INSERT INTO products_plain (id, name, price, stock) VALUES (gen_random_uuid(), 'Product number ' || :n, 19.99, 5);
