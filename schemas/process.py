"""What every role does at its start: set up logging and traces, and run on uvloop if it can."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress

import structlog

from schemas import tracing
from schemas.logs import configure_logging
from schemas.settings.base import Settings

log = structlog.get_logger(__name__)


def begin(role: str, settings: Settings) -> None:
    """Set up logging and traces, and report variables that are probably misspelled settings."""
    configure_logging(
        role,
        level=settings.log_level,
        log_format=settings.log_format,
        filenames=settings.log_filenames,
    )
    tracing.begin(role)
    if settings.misspelled:
        log.warning("unknown settings", reasons=list(settings.misspelled))


def run(main: Coroutine[object, object, None]) -> None:
    """Run the main coroutine of a process to its end, as `asyncio.run` does.

    The event loop is that of uvloop, which saves CPU time, if it can be imported.
    """
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with suppress(ImportError):
        from uvloop import new_event_loop as loop_factory
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main)
