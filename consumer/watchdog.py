"""Ends a process that hangs.

Its leases would be renewed for ever otherwise: renewing needs only the event loop, which goes on
turning while a forward pass never comes back.
"""

import asyncio
import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NoReturn

import structlog

from consumer.vitals import Vitals, Work

log = structlog.get_logger()

EXIT_STATUS = 70
LOOP_LIMIT_SECONDS = 120.0
"""Longest time for one turn of the event loop; much more than any honest one takes."""
TICK_SECONDS = 1.0


class Watchdog:
    """A thread that counts how long each guarded call has been under way.

    Only time in which the watchdog itself was awake counts: a process that was stopped, or a
    machine that was suspended, has not hung.

    Args:
        end: called once with the reason when something took too long.
    """

    def __init__(
        self, vitals: Vitals, end: Callable[[str], object], *, tick_seconds: float = TICK_SECONDS
    ) -> None:
        self._vitals = vitals
        self._end = end
        self._tick = tick_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Watch until stopped."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        seconds: dict[Work, float] = {}
        looked = time.monotonic()
        while not self._stopped.wait(self._tick):
            now = time.monotonic()
            awake = min(now - looked, 2 * self._tick)
            looked = now
            seconds = {work: seconds.get(work, 0) + awake for work in self._vitals.under_way}
            for work, taken in seconds.items():
                if taken > work.limit_seconds:
                    self._end(f"a {work.name} has not ended within {work.limit_seconds:g} s")
                    return


@asynccontextmanager
async def guarded(vitals: Vitals) -> AsyncIterator[None]:
    """Watch this process, its event loop included, for as long as the block runs."""
    watchdog = Watchdog(vitals, end_process)
    turning = asyncio.create_task(_turn(vitals))
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()
        turning.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await turning


async def _turn(vitals: Vitals) -> None:
    while True:
        with vitals.must_end("turn of the event loop", LOOP_LIMIT_SECONDS):
            await asyncio.sleep(TICK_SECONDS)


def end_process(reason: str) -> NoReturn:
    """End at once and acknowledge nothing: leases run out, and others take over.

    An orderly end would wait for the very thread that hangs.
    """
    faulthandler.dump_traceback(file=sys.__stderr__ or 2)
    log.critical("watchdog ends the process", reason=reason, status=EXIT_STATUS)
    os._exit(EXIT_STATUS)
