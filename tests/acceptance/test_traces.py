"""Traces of the real processes, and what a collector that does not respond may cost: nothing."""

import os
import socket
import time
from pathlib import Path

import pytest
import requests

from tests.support.otlp import collecting
from tests.support.pictures import scene_file
from tests.support.service import ROOT, Service, running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(180)]

ROLES = ("producer", "worker", "dispatcher")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"

_WITHOUT_THE_EXTRA = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


def submit(service: Service) -> str:
    answer = requests.post(
        f"{service.url}/api/v1/process-task/", files=[("files", ("a.jpg", scene_file()))],
        headers={"traceparent": f"00-{TRACE}-{CALLER}-01"}, timeout=30,
    )  # fmt: skip
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def stop_all(service: Service) -> list[int]:
    return [role.terminate() for role in service.roles.values()]


def test_the_processes_send_one_trace_to_the_collector(redis_server: str, tmp_path: Path) -> None:
    with collecting() as collector, running(
        redis_server, tmp_path, *ROLES, MODEL_PATH="stand-in:1",
        BACKEND_CALLBACK_URL=f"{collector.url}/callback",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    ) as service:  # fmt: skip
        submit(service)
        wait_until(lambda: collector.callbacks, 60, lambda: f"the callback\n{service.logs}")
        # Within the 5 seconds between two exports: a stop sends what is left.
        assert stop_all(service) == [0, 0, 0], service.logs
        logs = service.logs
    assert {span.trace_id for span in collector.spans} == {TRACE}, logs
    by_id = {span.span_id: span for span in collector.spans}
    [sent] = collector.callbacks
    assert sent is not None
    path, span_id = [], sent.split("-")[2]
    while span_id != CALLER:
        span = by_id[span_id]
        path.append((span.service, span.name))
        span_id = span.parent_id
    assert path == [
        ("plate-detect-dispatcher", "POST"),
        ("plate-detect-dispatcher", "process {plates}:events"),
        ("plate-detect-worker", "send {plates}:events"),
        ("plate-detect-worker", "process {plates}:images"),
        ("plate-detect-producer", "send {plates}:images"),
        ("plate-detect-producer", "POST /api/v1/process-task/"),
    ]
    [inference], [forward] = collector.named("inference"), collector.named("forward pass")
    assert forward.links == (inference.span_id,)
    assert inference.links == (forward.span_id,)


def test_a_collector_that_never_responds_neither_slows_nor_holds_a_process(
    redis_server: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, running(
        redis_server, tmp_path, *ROLES, MODEL_PATH="stand-in:1",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}",
        OTEL_EXPORTER_OTLP_TIMEOUT="100", OTEL_BSP_SCHEDULE_DELAY="10",
        OTEL_BSP_MAX_QUEUE_SIZE="4", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2",
    ) as service:  # fmt: skip
        # The first spans are under way, and the queue is full after the first tasks.
        tasks = [submit(service) for _ in range(5)]
        assert {service.wait_final(task)["status"] for task in tasks} == {"completed"}
        started = time.monotonic()
        assert stop_all(service) == [0, 0, 0], service.logs
        assert time.monotonic() - started < 50, "the processes waited for the exporter's timeout"


def test_without_the_extra_one_line_says_so_and_the_service_runs(
    redis_server: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_WITHOUT_THE_EXTRA)
    with collecting() as collector, running(
        redis_server, tmp_path, *ROLES, MODEL_PATH="stand-in:1",
        PYTHONPATH=os.pathsep.join((str(tmp_path), str(ROOT))),
        BACKEND_CALLBACK_URL=f"{collector.url}/callback",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
    ) as service:  # fmt: skip
        submit(service)
        wait_until(lambda: collector.callbacks, 60, lambda: f"the callback\n{service.logs}")
        for role in service.roles.values():
            assert role.log.count("pip install 'plate-detect[otel]'") == 1, role.log
    assert collector.callbacks == [f"00-{TRACE}-{CALLER}-01"]
    assert collector.spans == []
