"""Measurements of the service: the naive baseline, and what the machinery around images costs."""
