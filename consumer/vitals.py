"""What a process shows of its life: conditions met, loops that turn, calls that come back."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Work:
    """Something that must end in time, or the process is beyond help. Equal only to itself."""

    name: str
    limit_seconds: float
    serial: int
    since: float = field(compare=False)
    told: bool = field(default=True, compare=False)


class Vitals:
    """Signs of life, given from any thread; read by `/health` and by the watchdog."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._serials = itertools.count()
        self._unmet: dict[str, str] = {}
        self._loops: dict[str, tuple[float, float]] = {}
        self._work: dict[int, Work] = {}

    def expect(self, condition: str, complaint: str) -> None:
        """Count as not healthy, for the reason given, until the condition is met."""
        with self._lock:
            self._unmet[condition] = complaint

    def meet(self, condition: str) -> None:
        """Say that an expected condition is met."""
        with self._lock:
            self._unmet.pop(condition, None)

    def beat(self, loop: str, *, limit_seconds: float) -> None:
        """Say that a loop turns; silence for longer than the limit is a complaint."""
        with self._lock:
            self._loops[loop] = time.monotonic(), limit_seconds

    @contextmanager
    def excused(self, loop: str, *, limit_seconds: float) -> Iterator[None]:
        """Do not count the silence of a loop while it waits for work that others watch over."""
        with self._lock:
            self._loops.pop(loop, None)
        try:
            yield
        finally:
            self.beat(loop, limit_seconds=limit_seconds)

    @contextmanager
    def must_end(self, name: str, limit_seconds: float, *, told: bool = True) -> Iterator[None]:
        """Guard a call on the current thread: past the limit, the watchdog ends the process.

        ``told``: whether it counts as not healthy before, from half the limit on.
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
    def complaints(self) -> list[str]:
        """Why the process is not healthy, in words; empty if it is.

        A call is complained of at half its limit: at the limit there is nobody left to ask.
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
