"""A collector of traces: receives OTLP over HTTP, and callbacks of the service beside it."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class CollectedSpan:
    """A span as the collector got it; ids are hexadecimal, the parent's is empty at a root."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]


@dataclass
class Collector:
    """What has arrived. `callbacks`: the `traceparent` of each."""

    url: str
    spans: list[CollectedSpan] = field(default_factory=list)
    callbacks: list[str | None] = field(default_factory=list)

    def named(self, name: str) -> list[CollectedSpan]:
        """Return the spans with a name."""
        return [span for span in self.spans if span.name == name]

    def take(self, body: bytes) -> None:
        """Keep the spans of one request."""
        request = ExportTraceServiceRequest.FromString(body)
        for process in request.resource_spans:
            attributes = {each.key: each.value for each in process.resource.attributes}
            service = attributes["service.name"].string_value
            for scope in process.scope_spans:
                self.spans += [
                    CollectedSpan(
                        service, span.name, span.trace_id.hex(), span.span_id.hex(),
                        span.parent_span_id.hex(), tuple(link.span_id.hex() for link in span.links),
                    )
                    for span in scope.spans
                ]  # fmt: skip


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free loopback port."""
    collector = Collector("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body, answer = self.rfile.read(int(self.headers["Content-Length"])), b""
            if self.path == "/v1/traces":
                is_packed = self.headers["Content-Encoding"] == "gzip"
                collector.take(gzip.decompress(body) if is_packed else body)
                answer = ExportTraceServiceResponse().SerializeToString()
            else:
                collector.callbacks.append(self.headers["traceparent"])
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Write no log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
