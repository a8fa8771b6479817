-- How many products are known to be wrong on this replica; more than 10000 are not counted.
SELECT count(*) FROM (SELECT FROM products_dead_letters LIMIT 10000) AS w
