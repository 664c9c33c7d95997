"""Recurring jobs that no single task's life triggers. Safe to run in many processes at once."""

from consumer.dispatcher.sweeper.jobs import Sweeper
from consumer.dispatcher.sweeper.rules import PAGE, SweepRules

__all__ = ["PAGE", "SweepRules", "Sweeper"]
