"""Records spans with OpenTelemetry. Only `schemas.tracing.begin` imports it."""

import logging
import os
import threading
from collections.abc import Sequence
from contextvars import Token
from importlib.metadata import EntryPoint, entry_points, version
from typing import Self

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from schemas import tracing
from schemas.tracing import Attribute, Attributes, Kind

FLUSH_SECONDS = 1.0
"""Maximum wait for the collector at the end of the process."""

_KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_OTLP = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


def recorder_of(role: str) -> "OtelRecorder":
    """Return a recorder as the variables say, whose exporters work on threads of their own.

    Raises:
        LookupError: an exporter is not installed.
    """
    exporters = [_exporter(name) for name in _exporter_names()]
    # Of an unavailable collector one line for each export that failed, not for each attempt.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
    provider = TracerProvider(resource=resource_of(role), shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter.load()()))
    return OtelRecorder(provider)


def resource_of(role: str) -> Resource:
    """Return what the spans of a role say of their process; the variables come first."""
    own = Resource(
        {
            "service.name": f"plate-detect-{role}",
            "service.version": version("plate-detect"),
            "plate.role": role,
        }
    )
    found = Resource.create()
    if str(found.attributes["service.name"]).startswith("unknown_service"):
        return found.merge(own)
    return own.merge(found)


def _exporter_names() -> list[str]:
    names = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    return [name for each in names.split(",") if (name := each.strip()) not in ("", "none")]


def _exporter(name: str) -> EntryPoint:
    """Return an exporter, ours or of another package; raises LookupError."""
    if name == "otlp":
        variables = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
        protocol = next((p for v in variables if (p := os.environ.get(v))), "http/protobuf")
        name = _OTLP.get(protocol.strip(), f"otlp for {protocol}")
    found = entry_points(group="opentelemetry_traces_exporter", name=name)
    if not found:
        raise LookupError(f"there is no exporter {name}; installed: {_installed()}")
    return next(iter(found))


def _installed() -> str:
    return ", ".join(sorted(entry_points(group="opentelemetry_traces_exporter").names))


class OtelRecorder:
    """Records the spans of one process."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("plate-detect", version("plate-detect"))

    def span(
        self,
        name: str,
        kind: Kind,
        parent: str | None,
        links: Sequence[str],
        attributes: Attributes,
    ) -> tracing.Span:
        """Return a span that is recorded when its block ends."""
        return _RecordedSpan(self._tracer, name, _KINDS[kind], parent, links, attributes)

    def current(self) -> str:
        """Return the `traceparent` of the current span; empty: there is none."""
        return _traceparent(trace.get_current_span().get_span_context())

    def annotate(self, attributes: Attributes) -> None:
        """Set attributes of the current span."""
        trace.get_current_span().set_attributes(attributes)

    def end(self) -> None:
        """Send what is recorded; give up after FLUSH_SECONDS, in which a collector responds."""
        flush = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS)


class _RecordedSpan(tracing.Span):
    """A span of OpenTelemetry. Of errors only the kind is recorded: messages may quote names."""

    __slots__ = ("_arguments", "_attached", "_is_dropped", "_span", "_tracer")

    def __init__(
        self, tracer: trace.Tracer, name: str, kind: SpanKind, parent: str | None,
        links: Sequence[str], attributes: Attributes,
    ) -> None:  # fmt: skip
        super().__init__()
        self._tracer = tracer
        self._arguments = name, kind, parent, links, attributes
        self._is_dropped = False

    def __enter__(self) -> Self:
        name, kind, parent, links, attributes = self._arguments
        self._span = self._tracer.start_span(
            name, None if parent is None else _context(parent), kind, attributes,
            [Link(_span_context(link)) for link in links],
        )  # fmt: skip
        self._attached: Token[Context] = attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        detach(self._attached)
        if kind is not None:
            self.fail(kind.__qualname__)
        if not self._is_dropped:
            self._span.end()

    @property
    def traceparent(self) -> str:
        return _traceparent(self._span.get_span_context())

    def set(self, name: str, value: Attribute) -> None:
        self._span.set_attribute(name, value)

    def fail(self, error_type: str) -> None:
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(Status(StatusCode.ERROR))

    def link(self, traceparent: str) -> None:
        self._span.add_link(_span_context(traceparent))

    def drop(self) -> None:
        self._is_dropped = True  # a span that does not end is not exported


def _context(parent: str) -> Context:
    """Return the context of a remote parent, empty without one: there a trace begins."""
    if not parent:
        return Context()
    return trace.set_span_in_context(NonRecordingSpan(_span_context(parent)), Context())


def _span_context(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )


def _traceparent(context: SpanContext) -> str:
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
