"""Ages and intervals that all jobs use."""

from dataclasses import dataclass

PAGE = 200
"""Tasks asked about in one round trip."""


@dataclass(frozen=True, slots=True)
class SweepRules:
    """Ages and intervals in seconds, as the settings of the same names."""

    sweep_interval: float
    lease: float
    upload_grace: float
    task_timeout: float
    consumer_idle: float
    task_ttl: float
    dead_letter_ttl: float
