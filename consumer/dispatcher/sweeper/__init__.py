"""Recurring jobs that no event of a task triggers. Safe to run in many processes at once."""
