"""Log lines of all roles: JSON for machines, readable in a terminal, always with the role.

File names reveal people and places, so they are logged only with LOG_FILENAMES. Without it, the
fields `filename` and `filenames` are dropped, and so are the messages of unexpected errors in
tracebacks, which may quote a path.
"""

import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import Any, Literal

import structlog
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    RedisError,
)

_NAMES = ("filename", "filenames")
# Redis' messages quote commands and keys, which hold no file names.
_HARMLESS_MESSAGE = (RedisError,)


def configure_logging(
    role: str,
    *,
    level: str,
    log_format: Literal["auto", "json", "console"],
    filenames: bool = False,
) -> None:
    """Set up structlog, and the standard library's loggers through it, on standard error.

    Errors that end the process or a thread are logged in the same way.

    Args:
        filenames: whether lines may contain file names.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        partial(_add_role, role),
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
                structlog.processors.format_exc_info
                if filenames
                else structlog.processors.ExceptionRenderer(_without_messages),
                # structlog's own tracebacks would show local variables: pixels and secrets.
                structlog.processors.JSONRenderer()
                if as_json
                else structlog.dev.ConsoleRenderer(
                    exception_formatter=structlog.dev.plain_traceback
                ),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # At level info they repeat our own lines.
    for noisy in ("aiohttp.access", "aiohttp.server", "asyncio", "redis", "PIL", "ultralytics"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _add_role(
    role: str, _: object, __: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    event["role"] = role
    return event


def _without_names(
    _: object, __: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    for name in _NAMES:
        event.pop(name, None)
    record = event.get("_record")
    if record is not None and record.name == "asyncio":
        # After the first words come representations of objects, also of errors with their messages.
        event["event"] = re.split(r"[\n<(]", str(event["event"]), maxsplit=1)[0].rstrip()
    return event


def _without_messages(exc_info: structlog.typing.ExcInfo) -> str:
    return "".join(_traced(exc_info[1], set())).rstrip("\n")


def _traced(error: BaseException, seen: set[int]) -> Iterator[str]:
    """Yield the traceback and type of an error, after those of its cause, before its parts."""
    seen.add(id(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen:
        yield from _traced(cause, seen)
        yield "Which led to:\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    text = f": {error}" if isinstance(error, _HARMLESS_MESSAGE) else ""
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
    """Return type and message of an error, without the path of an error of the file system."""
    if is_of_cluster(error):
        crosses_slots = isinstance(error, ClusterCrossSlotError)
        word = "CROSSSLOT" if crosses_slots else type(error).__name__.removesuffix("Error").upper()
        return (
            "REDIS_URL (or REDIS_HOST) names a node of a Redis Cluster, which responds with"
            f" {word}: set REDIS_CLUSTER_NODES in its place"
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{type(error).__name__}: {error.strerror}"
    if isinstance(error, MasterNotFoundError):
        # It goes on with all settings of each connection to a Sentinel.
        return f"{type(error).__name__}: {str(error).partition(' : ')[0]}"
    return f"{type(error).__name__}: {error}"


def is_of_cluster(error: BaseException) -> bool:
    """Return whether a node of a Redis Cluster refused a command because of its slots."""
    # Of a replica without its primary; redis-py derives it from ClusterDownError.
    if isinstance(error, MasterDownError):
        return False
    return isinstance(error, (AskError, ClusterDownError, ClusterCrossSlotError))
