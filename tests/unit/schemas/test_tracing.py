"""When spans are recorded, and what it takes: the variables of OpenTelemetry, and the extra."""

import os
import sys
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from schemas import tracing
from schemas.otel import resource_of
from tests.support.packages import run_without

CONTEXT = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

_ROLES = """
import consumer.__main__, consumer.dispatcher.process, consumer.worker.process
import producer.__main__, producer.app
from schemas import tracing

tracing.begin("worker")
with tracing.span("decode", attributes={"a": 1}) as span:
    span.set("b", 2)
# redis-py imports what it finds of OpenTelemetry's metrics.
ours = "schemas.otel", "opentelemetry.sdk.trace.export", "opentelemetry.exporter"
print(tracing._recorder, sorted(name for name in sys.modules if name.startswith(ours)))
"""


@pytest.fixture(autouse=True)
def _not_recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    yield
    tracing.end()
    tracing.use(None)


def begun(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    """Begin with these variables; return the lines of the log."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with capture_logs() as lines:
        tracing.begin("worker")
    return [line["event"] for line in lines]


def is_recording() -> bool:
    with tracing.span("test") as span:
        return bool(span.traceparent)


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"},
    ],
)
def test_the_variables_turn_it_on(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    assert begun(monkeypatch, **variables) == []
    assert is_recording()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_otherwise_it_is_off(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    assert begun(monkeypatch, **variables) == []
    assert not is_recording()


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "of-nobody"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_an_exporter_that_is_not_installed_is_one_line(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    assert begun(monkeypatch, **variables) == ["no traces: OpenTelemetry cannot be set up"]
    assert not is_recording()


def test_without_the_extra_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "schemas.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    lines = begun(monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert lines == ["no traces: OpenTelemetry is set up, but the extra is not installed"]
    assert not is_recording()


def test_no_role_needs_the_extra() -> None:
    done = run_without({"opentelemetry"}, _ROLES)
    assert done.stdout.strip() == "None []", done.stderr


def test_no_role_imports_it_before_the_variables_ask_for_it() -> None:
    done = run_without(set(), _ROLES)
    assert done.stdout.strip() == "None []", done.stderr


def test_each_role_is_a_service_unless_the_variables_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert resource_of("worker").attributes["service.name"] == "plate-detect-worker"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "covers")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    named = resource_of("worker").attributes
    assert named["service.name"] == "covers"
    assert named["deployment.environment.name"] == "test"
    assert named["plate.role"] == "worker"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"00-{CONTEXT}", f"00-{CONTEXT}"),
        (f"cc-{CONTEXT}-what-the-future-holds", f"00-{CONTEXT}"),
        (f"00-{CONTEXT}-more", ""),
        (f"ff-{CONTEXT}", ""),
        (f"00-{CONTEXT.upper()}", ""),
        (f"00-{CONTEXT}\r\nX-Injected: 1", ""),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", ""),
        (f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", ""),
        ("", ""),
    ],
)
def test_only_a_valid_trace_context_is_handed_on(text: str, expected: str) -> None:
    assert tracing.valid(text) == expected
    with tracing.span("test", parent=text):
        assert tracing.current() == expected
    assert tracing.current() == ""
