"""The second stage: exact corners of a plate and whether it is one, from the full resolution."""
