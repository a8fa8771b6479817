-- The same question as that of the replicas' view of this name: which tables may be read, and in which shape. Here it
-- is every registered one.
CREATE VIEW pgfanout.readable_tables AS SELECT id, shape, relation FROM pgfanout.registered;
COMMENT ON VIEW pgfanout.readable_tables IS 'pgfanout: the registered tables, and their shapes';
GRANT SELECT ON pgfanout.readable_tables TO PUBLIC;
