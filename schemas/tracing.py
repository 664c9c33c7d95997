"""Traces: spans of OpenTelemetry where its variables ask for them and the extra is installed.

Otherwise nothing of OpenTelemetry is imported, and a span does nothing but hand on the trace
context that it continues: the service passes on the `traceparent` of a caller in any case.
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Literal, Protocol, Self

import structlog

from schemas.logs import described

log = structlog.get_logger(__name__)

Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]
Kind = Literal["internal", "server", "client", "producer", "consumer"]

NO_ATTRIBUTES: Attributes = MappingProxyType({})

TASK_ID = "plate.task_id"
INDEX = "plate.index"
OUTCOME = "plate.outcome"

_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})(-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-[!-~]*)?"
)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_handed_on: ContextVar[str] = ContextVar("traceparent", default="")


class Span:
    """The part of a trace that a block takes; here one that is not recorded.

    Args:
        parent: the `traceparent` that it continues; None: that of the block around it.
    """

    __slots__ = ("_parent", "_token")

    def __init__(self, parent: str | None = None) -> None:
        self._parent = parent
        self._token: Token[str] | None = None

    def __enter__(self) -> Self:
        if self._parent is not None:
            self._token = _handed_on.set(self._parent)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._token is not None:
            _handed_on.reset(self._token)

    @property
    def traceparent(self) -> str:
        """Its trace context, for a message or a request that its block sends; empty: none."""
        return _handed_on.get()

    def set(self, name: str, value: Attribute) -> None:
        """Set an attribute."""

    def fail(self, error_type: str) -> None:
        """Mark it as failed; `error_type`: an HTTP status or a kind of error, never a message."""

    def link(self, traceparent: str) -> None:
        """Link it to a span of another trace."""

    def drop(self) -> None:
        """Do not record it: what it stands for has not happened."""


_NOT_RECORDED = Span()


class Recorder(Protocol):
    """What records spans: schemas.otel."""

    def span(
        self,
        name: str,
        kind: Kind,
        parent: str | None,
        links: Sequence[str],
        attributes: Attributes,
    ) -> Span:
        """Return a span that is recorded when its block ends."""

    def current(self) -> str:
        """Return the `traceparent` of the current span; empty: there is none."""

    def annotate(self, attributes: Attributes) -> None:
        """Set attributes of the current span."""

    def end(self) -> None:
        """Send what is recorded, within a short time."""


_recorder: Recorder | None = None


def begin(role: str) -> None:
    """Record spans from now on, if the variables of OpenTelemetry ask for it."""
    if not _is_wanted(os.environ):
        return
    try:
        from schemas.otel import recorder_of
    except ImportError as error:
        log.warning(
            "no traces: OpenTelemetry is set up, but the extra is not installed",
            install="pip install 'plate-detect[otel]'", missing=error.name,
        )  # fmt: skip
        return
    try:
        use(recorder_of(role))
    except Exception as error:  # noqa: BLE001 - whatever its exporters raise, the service runs
        log.warning("no traces: OpenTelemetry cannot be set up", error=described(error))


def use(recorder: Recorder | None) -> None:
    """Record spans with this recorder from now on; None: record none."""
    global _recorder  # noqa: PLW0603 - one for the process, as the log is
    _recorder = recorder


def end() -> None:
    """Send what is recorded; for the end of the process."""
    if _recorder is not None:
        _recorder.end()


def span(
    name: str,
    *,
    kind: Kind = "internal",
    parent: str | None = None,
    attributes: Attributes = NO_ATTRIBUTES,
) -> Span:
    """Return a span for a `with` block, in which it is the current one.

    Args:
        parent: the `traceparent` of a message or a request that it continues; empty or invalid: it
            begins a trace; None: it continues the current span.
    """
    if _recorder is not None:
        return _recorder.span(name, kind, None if parent is None else valid(parent), (), attributes)
    return _NOT_RECORDED if not parent else Span(valid(parent))


def message_span(
    operation: Literal["send", "process"], stream: str, *, parent: str | None = None,
    attributes: Attributes = NO_ATTRIBUTES,
) -> Span:  # fmt: skip
    """Return a span of entries of a stream, as OpenTelemetry's conventions for messaging say."""
    if _recorder is None:
        return span("", parent=parent)
    return span(
        f"{operation} {stream}",
        kind="producer" if operation == "send" else "consumer",
        parent=parent,
        attributes={
            "messaging.system": "redis",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.destination.name": stream,
            **attributes,
        },
    )


def shared_span(
    name: str, shared_by: Sequence[str], *, attributes: Attributes = NO_ATTRIBUTES
) -> Span:
    """Return a span of work that several spans share, linked to all of them.

    It is a child of the first that is recorded, and so recorded if any of them is.

    Args:
        shared_by: the `traceparent` of each.
    """
    if _recorder is None:
        return _NOT_RECORDED
    recorded = [each for each in dict.fromkeys(shared_by) if is_sampled(each)]
    if not recorded:
        return _NOT_RECORDED
    return _recorder.span(name, "internal", recorded[0], recorded, attributes)


def current() -> str:
    """Return the `traceparent` to send from here; empty: there is none."""
    return _handed_on.get() if _recorder is None else _recorder.current()


def annotate(attributes: Attributes) -> None:
    """Set attributes of the current span."""
    if _recorder is not None:
        _recorder.annotate(attributes)


def valid(traceparent: str) -> str:
    """Return a `traceparent` as version 00 writes it; empty if it is none."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or (found[1] == "00" and found[3] is not None):
        return ""
    return f"00{found[2]}"


def is_sampled(traceparent: str) -> bool:
    """Return whether the span of a valid `traceparent` is recorded."""
    return bool(traceparent) and bool(int(traceparent[-2:], 16) & 1)


def _is_wanted(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporters:
        return exporters != "none"
    return any(environment.get(name, "").strip() for name in _ENDPOINTS)
