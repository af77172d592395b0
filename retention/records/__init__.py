"""The bottom of the house: ids, clock, record kinds, canonical bytes, the log. No I/O, no numpy."""
