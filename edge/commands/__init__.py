"""Does what central asks of a node: for now, sending the footage of a session."""
