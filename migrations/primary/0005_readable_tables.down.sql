-- pgfanout.readable(), which the version before asks, looks for itself.
DROP VIEW pgfanout.readable_tables;
