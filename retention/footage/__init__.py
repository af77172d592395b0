"""Footage on the disk: how a segment file is written, sealed, recovered, explained and counted."""
