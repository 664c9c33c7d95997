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

from schemas.settings.addresses import in_url
from tests.integration.producer.conftest import JPEG, PNG
from tests.support.ports import NEEDS_IPV6, free_port

ROOT = Path(__file__).parents[3]
START_SECONDS = 20.0


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path, redis_server: str) -> Iterator[Start]:
    """Start the process with these settings; standard error goes to `log`."""
    processes = []

    def run(**settings: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "REDIS_URL": redis_server,
            "TASKS_STORAGE_URL": (tmp_path / "storage").as_uri(),
            "HOST": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
            **settings,
        }
        with (tmp_path / "log").open("wb") as log:
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
    deadline = time.monotonic() + START_SECONDS
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        with socket.socket(family) as probe:
            if probe.connect_ex((address, port)) == 0:
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("host", "reachable"),
    [
        pytest.param("::", ["127.0.0.1", "::1"], marks=NEEDS_IPV6),
        pytest.param("[::]", ["127.0.0.1", "::1"], marks=NEEDS_IPV6),
        pytest.param("::1", ["::1"], marks=NEEDS_IPV6),
        ("localhost", ["127.0.0.1"]),
        ("", ["127.0.0.1"]),
    ],
)
def test_a_host_is_reached_at_each_of_its_addresses(
    start: Start, host: str, reachable: list[str], tmp_path: Path
) -> None:
    port = free_port()
    process = start(PORT=str(port), HOST=host)
    wait_until_listening(port, reachable[0])
    for address in reachable:
        wait_until_listening(port, address)
        url = f"http://{in_url(address)}:{port}/health"
        assert json.loads(curl("-g", url)) == {"status": "alive"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0


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
    assert process.wait(timeout=10) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["listening", "task accepted", "stopping"]
    assert lines[1]["images"] == 2
    assert lines[1]["bytes"] == len(JPEG) + len(PNG) * 1000
    assert "image1" not in (tmp_path / "log").read_text()


def begin_upload(port: int, *headers: bytes) -> tuple[socket.socket, bytes]:
    """Send half an upload; returns the connection and the other half."""
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
    time.sleep(0.3)
    return connection, body[500:]


def test_upload_in_flight_ends_before_the_process(start: Start, tmp_path: Path) -> None:
    port = free_port()
    process = start(PORT=str(port))
    wait_until_listening(port)
    connection, rest = begin_upload(port)
    idle = socket.create_connection(("127.0.0.1", port))  # holds nothing up

    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    with socket.socket() as late:
        assert late.connect_ex(("127.0.0.1", port)) != 0  # nobody new is let in
    connection.sendall(rest)
    answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert process.wait(timeout=5) == 0
    for used in (connection, idle):
        used.close()


def test_upload_that_outlasts_the_drain_leaves_nothing(start: Start, tmp_path: Path) -> None:
    port = free_port()
    process = start(PORT=str(port), DRAIN_SECONDS="0.5")
    wait_until_listening(port)
    connection, _ = begin_upload(port)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert 0.4 < time.monotonic() - began < 5
    connection.close()
    assert list((tmp_path / "storage").rglob("*")) == []
    assert "Traceback" not in (tmp_path / "log").read_text()


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
    killed = time.monotonic()
    connection.close()
    assert upload() == "409"
    while upload() == "409":
        assert time.monotonic() < killed + 4.5
        time.sleep(0.1)
    first = (tmp_path / "answer").read_text()
    assert upload() == "202"
    assert (tmp_path / "answer").read_text() == first
    # Nobody but the sweeper can know of the files that the dead process was writing.
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
    assert process.wait(timeout=5) == 0
    connection.close()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"PORT": "http"}, "PORT='http'"),
        ({"MAX_FILE_SIZE_BYTES": "0"}, "MAX_FILE_SIZE_BYTES='0'"),
        ({"TASKS_STORAGE_URL": "ftp://x"}, "TASKS_STORAGE_URL"),
        ({"HOST": "localhost:8000"}, "HOST='localhost:8000'"),
        ({"HOST": "192.0.2.1"}, "cannot listen on 192.0.2.1:"),
        ({"HOST": "2001:db8::1"}, "cannot listen on [2001:db8::1]:"),
        ({"HOST": "no-such-name.invalid"}, "cannot listen on no-such-name.invalid:"),
        ({"PUBLIC_URL": "example.org/plates"}, "PUBLIC_URL"),
        ({"ALLOWED_ORIGINS": "https://a.example/path"}, "ALLOWED_ORIGINS='https://a.example/path'"),
        ({"ALLOWED_ORIGINS": "https://a.example,b.example"}, "ALLOWED_ORIGINS"),
    ],
)
def test_wrong_setting_is_one_line(
    start: Start, tmp_path: Path, settings: dict[str, str], reason: str
) -> None:
    assert start(**settings).wait(timeout=START_SECONDS) == 2
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert reason in line


def test_taken_port_is_one_line(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert start(PORT=str(port)).wait(timeout=START_SECONDS) == 2
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert f"127.0.0.1:{port}" in line
