"""When a webhook is attempted again."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.dispatcher.schedule import (
    JITTER,
    RETRY_AFTER_MAX_SECONDS,
    RetryPolicy,
    parse_retry_after,
)
from consumer.settings import DispatcherSettings

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
SCHEDULE = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
POLICY = RetryPolicy(SCHEDULE, max_age_seconds=24 * 3600)


def delay(
    attempts: int, age: float = 0, retry_after: float | None = None, chance: float = 0
) -> float | None:
    return POLICY.next_delay(
        attempts=attempts, age_seconds=age, retry_after_seconds=retry_after, chance=chance
    )


def test_the_default_schedule_is_the_documented_one() -> None:
    assert DispatcherSettings(_env_file=None).retry_schedule == SCHEDULE


@pytest.mark.parametrize(("attempts", "seconds"), [*enumerate(SCHEDULE, 1), (7, 3600), (99, 3600)])
def test_waits_follow_the_schedule_and_the_last_repeats(attempts: int, seconds: float) -> None:
    assert delay(attempts) == seconds
    assert delay(attempts, chance=1) == pytest.approx(seconds * (1 + JITTER))


def test_a_schedule_without_a_wait_waits_all_the_same() -> None:
    policy = RetryPolicy((0.0,), max_age_seconds=3600)
    waits = [
        policy.next_delay(attempts=5, age_seconds=1, retry_after_seconds=None, chance=chance)
        for chance in (0.0, 1.0)
    ]
    assert waits == [1, 1 + JITTER]


def test_a_delivery_ends_when_its_next_try_would_be_too_late() -> None:
    assert delay(9, age=24 * 3600 - 3600) == 3600
    assert delay(9, age=24 * 3600 - 3599) is None


def test_what_the_receiver_asks_for_is_never_undercut_within_its_bound() -> None:
    assert delay(1, retry_after=60) == 60
    assert delay(3, retry_after=60) == 120
    assert delay(1, retry_after=10**9) == RETRY_AFTER_MAX_SECONDS


@given(
    attempts=st.integers(1, 10**6),
    age=st.floats(0, 10**7),
    retry_after=st.none() | st.floats(0, 10**9),
    chance=st.floats(0, 1),
)
def test_a_wait_is_within_its_bounds_whatever_comes(
    attempts: int, age: float, retry_after: float | None, chance: float
) -> None:
    seconds = delay(attempts, age, retry_after, chance)
    if seconds is not None:
        assert SCHEDULE[0] <= seconds <= 3600 * (1 + JITTER)
        assert age + seconds <= POLICY.max_age_seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120),
        (" 0 ", 0),
        ("Thu, 01 Jan 2026 12:02:00 GMT", 120),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("Thu, 01 Jan 2026 12:02:00", 120),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("٣", None),
        ("9" * 5000, 999_999_999),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2030 00:00:00 +999999999999999999999", None),
        ("Mon, 01 Jan 0001 00:00:00 +2300", 0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, NOW) == seconds


@given(st.text(max_size=60))
def test_no_header_breaks_the_parser(header: str) -> None:
    seconds = parse_retry_after(header, NOW)
    assert seconds is None or seconds >= 0
