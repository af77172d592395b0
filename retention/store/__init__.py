"""The node's database: the only place with SQL on the node side."""
