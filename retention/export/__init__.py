"""Evidence that leaves the node in one file, and the check of it that needs nothing of ours."""
