"""Ends a process in time: after the drain nothing is waited for, neither tasks nor threads."""

import asyncio
import contextlib
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

from consumer.health import Health

log = structlog.get_logger()

CLOSING_SECONDS = 2.0
"""Maximum time after the drain to close what is open. The sum of the drain, this and the next two
is less than the grace period of every deployment."""

HUNG_STOP_SECONDS = 3.5
"""Time after the drain when a stop that not even a cancellation could end counts as hung."""

THREADS_SECONDS = 0.5
"""Maximum wait for threads at the very end."""


@asynccontextmanager
async def stopping(health: Health, drain_seconds: float) -> AsyncIterator[Callable[[], None]]:
    """Yield what is to be called when a stop begins: from then on the block must end in time.

    It is cancelled if it has not ended soon after the drain; if that does not help, the process
    counts as hung. What is cut off in between is redelivered.
    """
    loop = asyncio.get_running_loop()
    # Never joined: its threads ask storage, which may hang.
    loop.set_default_executor(_UnawaitedThreads(thread_name_prefix="asyncio"))
    ended = False
    try:
        with contextlib.ExitStack() as stop:
            async with asyncio.timeout(None) as limit:

                def begin() -> None:
                    if ended or limit.when() is not None:
                        return
                    limit.reschedule(loop.time() + drain_seconds + CLOSING_SECONDS)
                    # Not reported before its deadline: a long drain is no problem.
                    stop.enter_context(
                        health.deadline("stop", drain_seconds + HUNG_STOP_SECONDS, reported=False)
                    )

                try:
                    yield begin
                finally:
                    ended = True  # a signal may still come
    except TimeoutError:
        if not limit.expired():
            raise
        log.warning("stop out of time, work in flight will be redelivered")


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
        with contextlib.suppress(OSError, ValueError):  # closed, or its reader is gone
            stream.flush()
    os._exit(status)
