"""The counter's HTTP API: what the pharmacy's own system calls."""
