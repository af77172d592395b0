"""Measurements as JSON lines: `make bench`. Each figure stands beside a named peer measured in the
same run; quote the ratio, not the absolute figure of one machine."""
