"""Log lines of all roles: JSON for machines, readable in a terminal, always with the role.

File names tell of people and places, so they are kept out unless the operator asks for them: a line
may carry them as `filename` or `filenames`, which are dropped; and the texts of unforeseen errors,
which may quote a path, are left out of tracebacks.
"""

import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal

import structlog
from redis.exceptions import RedisError

_NAMES = ("filename", "filenames")
# What redis says of an error quotes commands and keys, none of which holds a file name.
_TEXT_IS_HARMLESS = (RedisError,)


def configure_logging(
    role: str,
    *,
    level: str,
    log_format: Literal["auto", "json", "console"],
    filenames: bool = False,
) -> None:
    """Set up structlog, and the standard library's loggers through it, on standard error.

    What ends the process or one of its threads is logged in the same way.

    Args:
        filenames: whether lines may hold names of files.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_role(role),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                *([] if filenames else [_without_names]),
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_whole if filenames else _without_texts),
                # Never with local variables, as its own tracebacks: those are pixels and secrets.
                structlog.processors.JSONRenderer()
                if as_json
                else structlog.dev.ConsoleRenderer(
                    exception_formatter=structlog.dev.plain_traceback
                ),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # aiohttp and redis log at info what our own lines already say.
    for noisy in ("aiohttp.access", "aiohttp.server", "asyncio", "redis", "PIL", "ultralytics"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _add_role(role: str) -> structlog.types.Processor:
    def add(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event["role"] = role
        return event

    return add


def _without_names(
    _: object, __: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    for name in _NAMES:
        event.pop(name, None)
    record = event.get("_record")
    if record is not None and record.name == "asyncio":
        # Its first words say what happened; then come objects, errors and their texts among them.
        event["event"] = re.split(r"[\n<(]", str(event["event"]), maxsplit=1)[0].rstrip()
    return event


def _whole(exc_info: structlog.typing.ExcInfo) -> str:
    return "".join(traceback.format_exception(*exc_info)).rstrip("\n")


def _without_texts(exc_info: structlog.typing.ExcInfo) -> str:
    return "".join(_traced(exc_info[1], set())).rstrip("\n")


def _traced(error: BaseException, seen: set[int]) -> Iterator[str]:
    """Where and of which type an error was, its cause before it and its parts after it."""
    seen.add(id(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen:
        yield from _traced(cause, seen)
        yield "Which led to:\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    text = f": {error}" if isinstance(error, _TEXT_IS_HARMLESS) else ""
    yield f"{type(error).__module__}.{type(error).__qualname__}{text}\n"
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield "Part of it:\n"
            yield from _traced(part, seen)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger().critical("ended by an error", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: Any) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        information = (args.exc_type, args.exc_value, args.exc_traceback)
        structlog.get_logger().critical("thread ended by an error", exc_info=information)


def described(error: BaseException) -> str:
    """Return an error as text. The ``repr`` of some libraries' errors leaves out what happened.

    Without the path that an error of the file system names: it may hold a file name.
    """
    if isinstance(error, OSError) and error.filename is not None:
        return f"{type(error).__name__}: {error.strerror}"
    return f"{type(error).__name__}: {error}"
