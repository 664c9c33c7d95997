"""The health of a process, and the watchdog that ends a process that hangs.

Without the watchdog the leases of a process that hangs would be renewed for ever: renewing needs
only the event loop, which goes on while a forward pass does not return.
"""

import asyncio
import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import NoReturn

import structlog

log = structlog.get_logger()

EXIT_STATUS = 70
STUCK_AFTER_SECONDS = 60.0
"""Time without progress after which a loop is a problem. A pass of a loop takes up to 44 s while a
server does not respond."""

LOOP_LIMIT_SECONDS = 120.0
"""Deadline of one pass of the event loop, which takes much less in a process that works."""

TICK_SECONDS = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class GuardedCall:
    """A call that must end in time, or else the watchdog ends the process."""

    name: str
    limit_seconds: float
    since: float
    is_reported: bool


@dataclass(eq=False, repr=False)
class Health:
    """Conditions that are met, loops that make progress, calls that end; from any thread.

    Args:
        stuck_after_seconds: time without progress after which a loop is a problem.
        clock: returns seconds.
    """

    stuck_after_seconds: float = STUCK_AFTER_SECONDS
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._unmet: dict[str, str] = {}
        self._loops: dict[str, tuple[float, float]] = {}
        self._calls: set[GuardedCall] = set()

    def expect(self, condition: str, problem: str) -> None:
        """Count as unhealthy, for the reason given, until the condition is met."""
        with self._lock:
            self._unmet[condition] = problem

    def meet(self, condition: str) -> None:
        """Report that an expected condition is met."""
        with self._lock:
            self._unmet.pop(condition, None)

    def beat(self, loop: str, rest_seconds: float = 0) -> None:
        """Report progress of a loop, which may wait ``rest_seconds`` before its next pass."""
        with self._lock:
            self._loops[loop] = self.clock(), self.stuck_after_seconds + rest_seconds

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
    def deadline(self, name: str, limit_seconds: float, *, reported: bool = True) -> Iterator[None]:
        """Give a call on the current thread a deadline: past it, the watchdog ends the process.

        ``reported``: whether it counts as a problem before, from half the limit on.
        """
        call = GuardedCall(name, limit_seconds, self.clock(), reported)
        with self._lock:
            self._calls.add(call)
        try:
            yield
        finally:
            with self._lock:
                self._calls.remove(call)

    @property
    def calls(self) -> list[GuardedCall]:
        """The guarded calls that have not ended."""
        with self._lock:
            return list(self._calls)

    @property
    def loops(self) -> set[str]:
        """The loops that are checked."""
        with self._lock:
            return set(self._loops)

    @property
    def problems(self) -> list[str]:
        """Why the process is unhealthy, in words; empty if it is healthy."""
        now = self.clock()
        with self._lock:
            found = list(self._unmet.values())
            found += [
                f"the {loop} loop has made no progress for {now - last:.0f} s"
                for loop, (last, limit) in self._loops.items()
                if now - last > limit
            ]
            found += [
                f"a {call.name} has hung for {now - call.since:.0f} s"
                for call in self._calls
                if call.is_reported and now - call.since > call.limit_seconds / 2
            ]
        return found


@asynccontextmanager
async def guarded(
    health: Health, *, loop_limit_seconds: float = LOOP_LIMIT_SECONDS
) -> AsyncIterator[None]:
    """Watch this process, its event loop included, for as long as the block runs."""

    async def turn() -> None:
        while True:
            with health.deadline("turn of the event loop", loop_limit_seconds):
                await asyncio.sleep(TICK_SECONDS)

    with watchdog(health, end_process):
        turning = asyncio.create_task(turn())
        try:
            yield
        finally:
            turning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await turning


@contextmanager
def watchdog(
    health: Health,
    end: Callable[[str], object],
    *,
    tick_seconds: float = TICK_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Count on a thread how long each guarded call takes, for as long as the block runs.

    Args:
        health: knows the calls.
        end: called once, with the reason, when a call has not ended in time.
        tick_seconds: time between two checks.
        clock: returns seconds.
    """
    stopped = threading.Event()

    def watch() -> None:
        seconds: dict[GuardedCall, float] = {}
        last = clock()
        while not stopped.wait(tick_seconds):
            # Time in which the process was stopped, or its machine suspended, does not count.
            now = clock()
            elapsed = min(now - last, 2 * tick_seconds)
            last = now
            seconds = {call: seconds.get(call, 0) + elapsed for call in health.calls}
            for call, taken in seconds.items():
                if taken > call.limit_seconds:
                    end(f"a {call.name} has not ended within {call.limit_seconds:g} s")
                    return

    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def end_process(reason: str) -> NoReturn:
    """End at once and acknowledge nothing: leases run out, and others take over.

    An orderly end would wait for the very thread that hangs.
    """
    faulthandler.dump_traceback(file=sys.__stderr__ or 2)
    log.critical("watchdog ends the process", reason=reason, status=EXIT_STATUS)
    os._exit(EXIT_STATUS)
