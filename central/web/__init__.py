"""Central's HTTP side: a read API and what an administrator may ask for."""
