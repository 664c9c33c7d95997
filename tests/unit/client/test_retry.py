"""When the client repeats a call, and how long it waits."""

from datetime import UTC, datetime

import pytest

from plate_detect_client.retry import Attempts, RetryPolicy, parse_retry_after

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_delays_double_to_the_cap_with_jitter() -> None:
    policy = RetryPolicy(base_seconds=1, cap_seconds=8)
    for failures, full in enumerate([1, 2, 4, 8, 8, 8], start=1):
        delays = {policy.delay(failures) for _ in range(20)}
        assert all(full / 2 <= delay <= full for delay in delays)
        assert len(delays) > 1


def test_retry_after_is_a_lower_bound_with_jitter() -> None:
    delays = {RetryPolicy(base_seconds=1).delay(1, 10) for _ in range(20)}
    assert all(10 <= delay <= 12.5 for delay in delays)
    assert len(delays) > 1
    assert RetryPolicy(base_seconds=1).delay(1, 0) >= 0.5


def test_attempts_end_with_the_time_that_begins_with_the_first_failure() -> None:
    now = 0.0
    policy = RetryPolicy(total_seconds=10, base_seconds=4, cap_seconds=4)
    attempts = Attempts(policy, clock=lambda: now)
    now = 100.0
    assert attempts.next_delay() is not None
    assert attempts.next_delay(retry_after_seconds=11) is None
    now = 109.0
    assert attempts.next_delay() is None


def test_without_time_nothing_is_repeated() -> None:
    assert Attempts(RetryPolicy(total_seconds=0)).next_delay() is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7), (" 0 ", 0), ("Thu, 01 Jan 2026 00:01:00 GMT", 60),
        ("Thu, 01 Jan 2026 00:01:00 -0000", 60), ("Wed, 31 Dec 2025 23:00:00 GMT", 0),
        ("soon", None), ("-1", None), ("²", None), (None, None),
    ],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds
