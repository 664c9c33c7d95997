"""When a failed call is repeated: exponential back-off with jitter, within a total time."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a call is repeated while the service is unavailable.

    The delays double from `base_seconds` to `cap_seconds`. Each is scaled by a random 0.5 to 1, so
    that many clients do not come back at the same moment. A `Retry-After` of the service is waited
    for at least. `total_seconds` begin with the first failure; 0: no repeats.
    """

    total_seconds: float = 180.0
    base_seconds: float = 0.5
    cap_seconds: float = 30.0

    def delay(self, failures: int, retry_after_seconds: float | None = None) -> float:
        """Return the seconds to wait after this number of failures in a row."""
        backoff = min(self.cap_seconds, self.base_seconds * 2.0 ** min(failures - 1, 16))
        backoff *= random.uniform(0.5, 1)  # noqa: S311 - jitter is no secret
        if retry_after_seconds is None:
            return backoff
        spread = random.uniform(1, 1.25)  # noqa: S311 - jitter is no secret
        return max(backoff, retry_after_seconds * spread)


class Attempts:
    """Counts the failures of one call, and says how long to wait before the next attempt."""

    def __init__(self, policy: RetryPolicy, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._end: float | None = None
        self._failures = 0

    def next_delay(self, retry_after_seconds: float | None = None) -> float | None:
        """Return the delay before the next attempt; None if the time is over."""
        if self._end is None:
            self._end = self._clock() + self._policy.total_seconds
        self._failures += 1
        delay = self._policy.delay(self._failures, retry_after_seconds)
        return delay if self._clock() + delay < self._end else None


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds of a `Retry-After` header: a number or a date; None if it has neither."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
