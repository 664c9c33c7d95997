"""The health of a process: conditions that are met, loops that make progress, calls that end."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

STUCK_AFTER_SECONDS = 60.0
"""Time without progress after which a loop is a problem. A pass of a loop takes up to 44 s while a
server does not respond."""


@dataclass(frozen=True, slots=True)
class Work:
    """A call that must end in time, or else the watchdog ends the process."""

    name: str
    limit_seconds: float
    serial: int
    since: float = field(compare=False)
    told: bool = field(default=True, compare=False)


class Health:
    """Reports from any thread, read by `/health` and by the watchdog."""

    def __init__(self, stuck_after_seconds: float = STUCK_AFTER_SECONDS) -> None:
        self._stuck_after = stuck_after_seconds
        self._lock = threading.Lock()
        self._serials = itertools.count()
        self._unmet: dict[str, str] = {}
        self._loops: dict[str, tuple[float, float]] = {}
        self._work: dict[int, Work] = {}

    def expect(self, condition: str, complaint: str) -> None:
        """Count as unhealthy, for the reason given, until the condition is met."""
        with self._lock:
            self._unmet[condition] = complaint

    def meet(self, condition: str) -> None:
        """Report that an expected condition is met."""
        with self._lock:
            self._unmet.pop(condition, None)

    def beat(self, loop: str, rest_seconds: float = 0) -> None:
        """Report progress of a loop, which may wait ``rest_seconds`` before its next pass."""
        with self._lock:
            self._loops[loop] = time.monotonic(), self._stuck_after + rest_seconds

    @contextmanager
    def paused(self, loop: str, rest_seconds: float = 0) -> Iterator[None]:
        """Do not check a loop while it waits for work that has a deadline of its own."""
        with self._lock:
            self._loops.pop(loop, None)
        try:
            yield
        finally:
            self.beat(loop, rest_seconds)

    @contextmanager
    def deadline(self, name: str, limit_seconds: float, *, told: bool = True) -> Iterator[None]:
        """Give a call on the current thread a deadline: past it, the watchdog ends the process.

        ``told``: whether it counts as unhealthy before, from half the limit on.
        """
        serial = next(self._serials)
        with self._lock:
            self._work[serial] = Work(name, limit_seconds, serial, time.monotonic(), told)
        try:
            yield
        finally:
            with self._lock:
                del self._work[serial]

    @property
    def under_way(self) -> list[Work]:
        """The guarded calls that have not ended."""
        with self._lock:
            return list(self._work.values())

    @property
    def problems(self) -> list[str]:
        """Why the process is unhealthy, in words; empty if it is healthy.

        A call counts as a problem from half its limit on: at the limit the process ends.
        """
        now = time.monotonic()
        with self._lock:
            found = list(self._unmet.values())
            loops, work = dict(self._loops), list(self._work.values())
        silent = [(loop, now - last) for loop, (last, limit) in loops.items() if now - last > limit]
        ages = [(call, now - call.since) for call in work]
        found += [f"the {loop} loop has made no progress for {age:.0f} s" for loop, age in silent]
        found += [
            f"a {call.name} has hung for {age:.0f} s"
            for call, age in ages
            if call.told and age > call.limit_seconds / 2
        ]
        return found
