-- pgfanout.readable() of two arguments, which the version before asks, looks for itself.
DROP FUNCTION pgfanout.readable(integer, integer, regclass);
DROP VIEW pgfanout.readable_tables;
DROP TRIGGER note_shape ON pgfanout.shapes;
DROP TRIGGER note_table ON pgfanout.tables;
DROP FUNCTION pgfanout.note_shape(), pgfanout.note_table(), pgfanout.leaves_out(integer, integer);
ALTER TABLE pgfanout.tables DROP COLUMN left_out;
