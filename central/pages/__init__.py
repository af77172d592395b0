"""Central's pages: for inspectors and admins, in a browser, signed in."""
