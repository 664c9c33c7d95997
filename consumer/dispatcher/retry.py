"""When a webhook is tried again: pure functions of what was tried and answered."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRY_AFTER_MAX_SECONDS = 3600.0
"""As long as the longest wait of the schedule: a receiver cannot silence a webhook for days."""

NO_WAIT_SECONDS = 1.0
"""What a wait of 0 in the schedule means: jitter would not stretch it."""

JITTER = 0.2
"""Waits are stretched by up to this fraction, so that what failed together does not return so."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits between tries in seconds (the last repeats) and the age at which they end."""

    schedule: tuple[float, ...]
    max_age_seconds: float

    def next_delay(
        self,
        *,
        attempts: int,
        age_seconds: float,
        retry_after_seconds: float | None,
        random: Callable[[], float],
    ) -> float | None:
        """Seconds until the next try, or None if there is none.

        Args:
            attempts: tries so far, at least 1.
            age_seconds: time since the delivery was created.
            retry_after_seconds: what the receiver asked for; never undercut within its bound.
            random: uniform in 0..1.
        """
        planned = self.schedule[min(attempts, len(self.schedule)) - 1] or NO_WAIT_SECONDS
        asked = min(retry_after_seconds or 0.0, RETRY_AFTER_MAX_SECONDS)
        delay = max(planned, asked) * (1 + JITTER * random())
        return delay if age_seconds + delay <= self.max_age_seconds else None


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as a date; None if unusable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # A number of absurd length would overflow; its bound is far below either way.
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, OverflowError):
        return None
