"""The HTTP side: turns requests into messages, serves status and results."""
