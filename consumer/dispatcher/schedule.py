"""When a webhook is attempted again: pure functions of earlier attempts and of the response."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_AGE_SECONDS = 24 * 3600.0
"""No webhook is attempted for longer, whatever the TTL of its task."""

RETRY_AFTER_MAX_SECONDS = 3600.0
"""As long as the longest wait of the schedule: a receiver cannot delay a webhook for days."""

NO_WAIT_SECONDS = 1.0
"""What a wait of 0 in the schedule means: jitter would not stretch it."""

JITTER = 0.2
"""Waits are stretched by up to this fraction, which spreads webhooks that failed together."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits between attempts in seconds (the last repeats) and the age at which they end."""

    schedule: tuple[float, ...]
    max_age_seconds: float

    def next_delay(
        self,
        *,
        attempts: int,
        age_seconds: float,
        retry_after_seconds: float | None,
        chance: float,
    ) -> float | None:
        """Return the seconds until the next attempt, or None if there is none.

        Args:
            attempts: number of attempts so far, at least 1.
            age_seconds: time since the delivery was created.
            retry_after_seconds: what the receiver asked for; the delay is not shorter than that, up
                to a maximum.
            chance: random, uniform in 0..1.
        """
        planned = self.schedule[min(attempts, len(self.schedule)) - 1] or NO_WAIT_SECONDS
        asked = min(retry_after_seconds or 0.0, RETRY_AFTER_MAX_SECONDS)
        delay = max(planned, asked) * (1 + JITTER * chance)
        return delay if age_seconds + delay <= self.max_age_seconds else None


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date; None if unusable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # A very long number would overflow; its maximum is far below either way.
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, OverflowError):
        return None
