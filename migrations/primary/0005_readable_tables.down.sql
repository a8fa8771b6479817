-- pgfanout.readable() of two arguments, which the version before asks, looks for itself.
DROP FUNCTION pgfanout.readable(integer, integer, regclass);
DROP VIEW pgfanout.readable_tables;
