"""The process that records one camera: packets in, sealed segments, gaps and records out."""
