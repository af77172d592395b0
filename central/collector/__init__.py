"""Takes in records, checkpoints and footage from nodes over ZeroMQ."""
