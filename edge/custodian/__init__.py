"""The process that counts what is held: coverage of sessions, and a file for every row."""
