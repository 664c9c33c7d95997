"""Ends a process that hangs, and one that would hang only because it is about to end.

The leases of the first would be renewed for ever otherwise: renewing needs only the event loop,
which goes on turning while a forward pass never comes back. The second has stopped in order, but
Python waits at its end for every thread.
"""

import asyncio
import contextlib
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import NoReturn

import structlog

from consumer.health import Health, Work

log = structlog.get_logger()

EXIT_STATUS = 70
LOOP_LIMIT_SECONDS = 120.0
"""Longest time for one turn of the event loop; much more than any honest one takes."""
TICK_SECONDS = 1.0
CLOSING_SECONDS = 2.0
"""After the drain: longest time to close what is open. Drain, this and the next two fit into the
grace period of a stop."""
HUNG_STOP_SECONDS = 3.5
"""After the drain: when a stop that not even a cancellation could end counts as hung."""
THREADS_SECONDS = 0.5
"""Longest wait for threads at the very end."""


class Watchdog:
    """A thread that counts how long each guarded call has been under way.

    Only time in which the watchdog itself was awake counts: a process that was stopped, or a
    machine that was suspended, has not hung.

    Args:
        end: called once with the reason when something took too long.
    """

    def __init__(
        self, health: Health, end: Callable[[str], object], *, tick_seconds: float = TICK_SECONDS
    ) -> None:
        self._health = health
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
            seconds = {work: seconds.get(work, 0) + awake for work in self._health.under_way}
            for work, taken in seconds.items():
                if taken > work.limit_seconds:
                    self._end(f"a {work.name} has not ended within {work.limit_seconds:g} s")
                    return


@asynccontextmanager
async def guarded(health: Health) -> AsyncIterator[None]:
    """Watch this process, its event loop included, for as long as the block runs."""
    watchdog = Watchdog(health, end_process)
    turning = asyncio.create_task(_turn(health))
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()
        turning.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await turning


async def _turn(health: Health) -> None:
    while True:
        with health.deadline("turn of the event loop", LOOP_LIMIT_SECONDS):
            await asyncio.sleep(TICK_SECONDS)


def end_process(reason: str) -> NoReturn:
    """End at once and acknowledge nothing: leases run out, and others take over.

    An orderly end would wait for the very thread that hangs.
    """
    faulthandler.dump_traceback(file=sys.__stderr__ or 2)
    log.critical("watchdog ends the process", reason=reason, status=EXIT_STATUS)
    os._exit(EXIT_STATUS)


@asynccontextmanager
async def stopping(health: Health, drain_seconds: float) -> AsyncIterator[Callable[[], None]]:
    """Yield what is to be called when a stop begins: from then on the block must end in time.

    It is cancelled if it has not ended soon after the drain; if that does not help, the process
    counts as hung. What may be cut off in between is left to be redelivered anyway.
    """
    loop = asyncio.get_running_loop()
    # Joined nowhere: its threads ask storage, which may hang.
    loop.set_default_executor(_UnawaitedThreads(thread_name_prefix="asyncio"))
    ended = False
    try:
        with contextlib.ExitStack() as stop:
            async with asyncio.timeout(None) as limit:

                def begin() -> None:
                    if ended or limit.when() is not None:
                        return
                    limit.reschedule(loop.time() + drain_seconds + CLOSING_SECONDS)
                    # Not told before: a drain that takes its time is no illness.
                    stop.enter_context(
                        health.deadline("stop", drain_seconds + HUNG_STOP_SECONDS, told=False)
                    )

                try:
                    yield begin
                finally:
                    ended = True  # a signal may still come
    except TimeoutError:
        if not limit.expired():
            raise
        log.warning("out of time, what was under way is cut off")


class _UnawaitedThreads(ThreadPoolExecutor):
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().shutdown(wait=False, cancel_futures=cancel_futures)


def leave(status: int) -> NoReturn:
    """End the process, which has stopped in order, without waiting for threads that go on.

    Python would wait: for a forward pass that outlasts the drain, or for one that never ends.
    """
    deadline = time.monotonic() + THREADS_SECONDS
    others = [
        thread for thread in threading.enumerate()
        if thread is not threading.current_thread() and not thread.daemon
    ]  # fmt: skip
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in others if thread.is_alive()]
    if not left:
        sys.exit(status)
    log.warning("threads left at work", threads=left)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it
            stream.flush()
    os._exit(status)
