-- On the primary: about how many products there are, for the progress shown; 0: nobody has counted
-- them.
SELECT greatest(reltuples, 0)::bigint AS estimated_products FROM pg_class
	WHERE oid = to_regclass('products')
