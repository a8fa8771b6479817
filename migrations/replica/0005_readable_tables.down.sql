-- pgfanout.readable(), which the version before asks, looks for itself.
DROP VIEW pgfanout.readable_tables;
DROP TRIGGER note_shape ON pgfanout.shapes;
DROP TRIGGER note_stream ON pgfanout.streams;
DROP TRIGGER note_table ON pgfanout.tables;
DROP FUNCTION pgfanout.note_shape(), pgfanout.note_stream(), pgfanout.note_table(), pgfanout.leaves_out(integer, integer);
ALTER TABLE pgfanout.tables DROP COLUMN lacking, DROP COLUMN left_out;
