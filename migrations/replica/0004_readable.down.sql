-- Nothing of the versions before asks.
DROP FUNCTION pgfanout.readable(integer, integer), pgfanout.wrong_rows(integer);
DROP INDEX pgfanout.shapes_left_out;
REVOKE SELECT (stream, needs_reset) ON pgfanout.streams FROM PUBLIC;
