"""What every role does at its start: set up logging, and run on uvloop if it is installed."""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from schemas.logs import configure_logging
from schemas.settings.base import Settings

log = structlog.get_logger(__name__)


def begin(role: str, settings: Settings) -> None:
    """Set up logging, and report variables that are probably misspelled settings."""
    configure_logging(
        role,
        level=settings.log_level,
        log_format=settings.log_format,
        filenames=settings.log_filenames,
    )
    if settings.misspelled:
        log.warning("unknown settings", reasons=list(settings.misspelled))


def run(main: Coroutine[object, object, None]) -> None:
    """Run the main coroutine of a process to its end, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the factory of uvloop, which saves CPU time, if it can be imported."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
