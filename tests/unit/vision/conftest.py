"""Hypothesis here measures nothing: a busy machine must not fail a test of geometry."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
