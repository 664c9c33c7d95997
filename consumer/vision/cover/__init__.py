"""Covers of plates: their corners and what is drawn there."""
