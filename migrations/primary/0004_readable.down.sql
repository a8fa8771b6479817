-- Nothing of the versions before asks.
DROP FUNCTION pgfanout.readable(integer, integer);
