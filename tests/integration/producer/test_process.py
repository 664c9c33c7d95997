"""`python -m producer` as a process, and the documented curl commands against it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from producer.__main__ import main
from schemas.settings.addresses import in_url
from tests.integration.producer.conftest import JPEG, PNG
from tests.support.ports import NEEDS_IPV6, free_port

ROOT = Path(__file__).parents[3]
START_SECONDS = 20.0
END_SECONDS = 20.0

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path, redis_server: str) -> Iterator[Start]:
    """Start processes with these settings; their standard error goes to `log`."""
    processes = []

    def run(**settings: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "REDIS_URL": redis_server,
            "TASKS_STORAGE_URL": (tmp_path / "storage").as_uri(),
            "HOST": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
            **settings,
        }
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "producer"], env=environment, stderr=log, cwd=tmp_path
            )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.wait()


def wait_until_listening(port: int, address: str = "127.0.0.1") -> None:
    wait_until(lambda: is_listening(port, address))


@pytest.mark.parametrize(
    ("host", "addresses"),
    [pytest.param("::", ["127.0.0.1", "::1"], marks=NEEDS_IPV6), ("localhost", ["127.0.0.1"])],
)
def test_a_host_is_reached_at_each_of_its_addresses(
    start: Start, host: str, addresses: list[str]
) -> None:
    port = free_port()
    process = start(PORT=str(port), HOST=host)
    for address in addresses:
        wait_until_listening(port, address)
        url = f"http://{in_url(address)}:{port}/health"
        assert json.loads(curl("-g", url)) == {"status": "alive"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=END_SECONDS) == 0


def curl(*arguments: str) -> str:
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", *arguments], capture_output=True, check=True, text=True
    )
    return done.stdout


def test_documented_curl_commands(start: Start, tmp_path: Path) -> None:
    port = free_port()
    process = start(PORT=str(port))
    wait_until_listening(port)
    (tmp_path / "image1.jpg").write_bytes(JPEG)
    (tmp_path / "image2.png").write_bytes(PNG * 1000)  # over 1 MB: curl asks before it sends

    answer = json.loads(curl(
        "-X", "POST", f"http://localhost:{port}/api/v1/process-task/",
        "-F", f"files=@{tmp_path}/image1.jpg",
        "-F", f"files=@{tmp_path}/image2.png",
    ))  # fmt: skip
    assert list(answer) == ["task_id"]
    state = json.loads(curl(
        "-X", "GET", f"http://localhost:{port}/api/v1/task-status/{answer['task_id']}",
    ))  # fmt: skip
    assert (state["task_id"], state["status"], state["results"]) == (
        answer["task_id"], "pending", [],
    )  # fmt: skip

    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=END_SECONDS) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["listening", "task accepted", "stopping"]
    assert lines[1]["images"] == 2
    assert lines[1]["bytes"] == len(JPEG) + len(PNG) * 1000
    assert "image1" not in (tmp_path / "log").read_text()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_listening(port: int, address: str = "127.0.0.1") -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        return probe.connect_ex((address, port)) == 0


def begin_upload(port: int, *headers: bytes) -> tuple[socket.socket, bytes]:
    """Send half an upload; return the connection and the other half."""
    head = b'--B\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    body = head + JPEG + b"\r\n--B--\r\n"
    connection = socket.create_connection(("127.0.0.1", port), timeout=15)
    connection.sendall(
        b"POST /api/v1/process-task/ HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: %d\r\n"
        % len(body)
        + b"".join(line + b"\r\n" for line in headers)
        + b"\r\n"
        + body[:500]
    )
    wait_until(lambda: "plate_uploads_in_progress 1.0" in curl(f"http://127.0.0.1:{port}/metrics"))
    return connection, body[500:]


def test_upload_in_flight_ends_before_the_process(start: Start, tmp_path: Path) -> None:
    port = free_port()
    process = start(PORT=str(port))
    wait_until_listening(port)
    connection, rest = begin_upload(port)
    idle = socket.create_connection(("127.0.0.1", port))  # holds nothing up

    process.send_signal(signal.SIGTERM)
    wait_until(lambda: not is_listening(port))  # no new connection is accepted
    assert process.poll() is None
    connection.sendall(rest)
    answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert process.wait(timeout=END_SECONDS) == 0
    for used in (connection, idle):
        used.close()


def test_upload_that_outlasts_the_drain_leaves_nothing(start: Start, tmp_path: Path) -> None:
    port = free_port()
    process = start(PORT=str(port), DRAIN_SECONDS="0.5")
    wait_until_listening(port)
    connection, _ = begin_upload(port)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=END_SECONDS) == 0
    connection.close()
    assert list((tmp_path / "storage").rglob("*")) == []
    lines = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert lines[1:] == ["stopping", "requests are cut off: they took longer than DRAIN_SECONDS"]


def test_key_of_a_producer_killed_mid_upload_is_free_after_its_lease(
    start: Start, tmp_path: Path
) -> None:
    port, other_port = free_port(), free_port()
    process = start(PORT=str(port), IDEMPOTENCY_LEASE_SECONDS="3")
    start(PORT=str(other_port))
    wait_until_listening(port)
    wait_until_listening(other_port)
    (tmp_path / "a.jpg").write_bytes(JPEG)

    def upload() -> str:
        return curl(
            f"http://127.0.0.1:{other_port}/api/v1/process-task/", "-H", "Idempotency-Key: k",
            "-F", f"files=@{tmp_path}/a.jpg", "-w", "%{http_code}", "-o", f"{tmp_path}/answer",
        )  # fmt: skip

    connection, _ = begin_upload(port, b"Idempotency-Key: k")
    process.kill()
    connection.close()
    assert upload() == "409"
    wait_until(lambda: upload() != "409")
    first = (tmp_path / "answer").read_text()
    assert upload() == "202"
    assert (tmp_path / "answer").read_text() == first
    # Only the sweeper can know of the files that the dead process was writing.
    inputs = {path.parts[-3] for path in (tmp_path / "storage").glob("*/input/0")}
    assert inputs == {json.loads(first)["task_id"]}


def test_progress_stream_does_not_hold_up_the_end(start: Start, tmp_path: Path) -> None:
    port = free_port()
    process = start(PORT=str(port))
    wait_until_listening(port)
    connection, rest = begin_upload(port)
    connection.sendall(rest)
    task_id = json.loads(connection.recv(4096).split(b"\r\n\r\n")[1])["task_id"]
    connection.sendall(b"GET /api/v1/task-events/%s HTTP/1.1\r\nHost: x\r\n\r\n" % task_id.encode())
    assert b"text/event-stream" in connection.recv(4096)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=END_SECONDS) == 0
    connection.close()


def test_taken_port_is_one_line(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert start(PORT=str(port)).wait(timeout=START_SECONDS) == 2
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.startswith(f"producer: cannot listen on 127.0.0.1:{port}: ")


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-name.invalid"])
def test_an_address_of_another_machine_is_one_line(
    host: str,
    redis_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("producer.__main__.begin", lambda *_: None)  # the log is the tests' own
    for name, value in {"HOST": host, "PORT": "8000", "REDIS_URL": redis_server}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TASKS_STORAGE_URL", tmp_path.as_uri())
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"producer: cannot listen on {in_url(host)}:8000: ")
