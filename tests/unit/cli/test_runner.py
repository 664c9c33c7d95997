"""`plate-detect run` with the real roles: it starts, heals, and leaves nothing behind."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tests.support.ports import NEEDS_IPV6, free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

PROJECT = Path(__file__).resolve().parents[3]


class Run:
    """One `plate-detect run` in a folder of its own, its output at hand."""

    def __init__(self, folder: Path, port: int, **settings: str) -> None:
        self.port = port
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "run"],
            cwd=folder,
            env={**environment(port), **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def expect(self, text: str) -> None:
        wait_until(lambda: text in self.output or self.process.poll() is not None)
        assert text in self.output, self.output

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def member(self, command: str) -> psutil.Process | None:
        """The process with this in its command line; a dead one has none any more."""
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                if command in " ".join(process.cmdline()):
                    return process
        return None

    def kill(self, command: str) -> int:
        found = self.member(command)
        assert found is not None
        found.kill()
        return found.pid

    def close(self) -> int:
        status = self.process.wait(timeout=60)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


def environment(port: int) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("REDIS_")}
    return {
        **inherited,
        "PYTHONPATH": str(PROJECT),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "METRICS_PORT": "0",
    }


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def started_again(run: Run, command: str, died: int) -> bool:
    member = run.member(command)
    return member is not None and member.pid != died


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started = Run(tmp_path, free_port())
    started.expect("plate-detect: ready: http://127.0.0.1")
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.close()


def assert_all_gone(family: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


def test_ctrl_c_stops_everything_and_counts_as_success(run: Run, tmp_path: Path) -> None:
    family = run.family()
    second = subprocess.run(
        [sys.executable, "-m", "cli", "run"],
        cwd=tmp_path,
        env=environment(free_port()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr == "plate-detect: already running (or still stopping) in this folder\n"
    os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    assert run.close() == 0, run.output
    assert_all_gone(family)


def test_a_role_that_dies_is_started_again(run: Run) -> None:
    for command in ("-m producer", "valkey-server", "-m consumer worker"):
        died = run.kill(command)
        wait_until(lambda: started_again(run, command, died))  # noqa: B023 - called at once
    wait_until(lambda: ready(run.port))
    assert run.process.poll() is None
    run.process.terminate()
    assert run.close() == 0, run.output
    assert re.search(r"plate-detect: worker (died|ended)", run.output)


def test_a_killed_supervisor_leaves_no_orphan(run: Run) -> None:
    family = run.family()
    run.kill("supervisord")
    assert run.close() == 1
    assert "stopped without being asked to" in run.output
    assert_all_gone(family)


def test_a_killed_command_stops_everything_cleanly(run: Run, tmp_path: Path) -> None:
    family = run.family()
    run.process.kill()
    run.close()
    assert_all_gone(family)
    assert "stopped: redis (exit status 0)" in (tmp_path / "var/supervisord.log").read_text()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        pytest.param("::", "http://localhost", marks=NEEDS_IPV6),
        pytest.param("::1", "http://[::1]", marks=NEEDS_IPV6),
        ("localhost", "http://localhost"),
    ],
)
def test_any_host_is_seen_ready(host: str, url: str, tmp_path: Path) -> None:
    run = Run(tmp_path, free_port(), HOST=host, MODEL_PATH="stand-in:1")
    try:
        run.expect(f"plate-detect: ready: {url}:{run.port} ")
    finally:
        run.process.terminate()
        assert run.close() == 0, run.output


@NEEDS_IPV6
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_port_that_is_taken_in_one_family_is_said_at_once(
    family: socket.AddressFamily, tmp_path: Path
) -> None:
    address = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.create_server((address, free_port()), family=family) as listener:
        port = listener.getsockname()[1]
        taken = Run(tmp_path, port, HOST="::")
        assert taken.close() == 1
    assert taken.output.startswith(f"plate-detect: port {port} is taken")
    assert taken.output.count("\n") == 1


def test_an_address_of_another_machine_is_said_at_once(tmp_path: Path) -> None:
    wrong = Run(tmp_path, free_port(), HOST="192.0.2.1")
    assert wrong.close() == 1
    assert wrong.output.startswith("plate-detect: cannot listen on HOST:PORT = 192.0.2.1:")
    assert wrong.output.count("\n") == 1


def test_a_taken_port_is_said_at_once(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        taken = Run(tmp_path, port)
        assert taken.close() == 1
    assert taken.output.startswith(f"plate-detect: port {port} is taken")
    assert taken.output.count("\n") == 1


def test_a_wrong_setting_of_any_role_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COVER_PADDING=lots\n")
    wrong = Run(tmp_path, free_port())
    assert wrong.close() == 1
    assert wrong.output.startswith("plate-detect: COVER_PADDING='lots': ")
    assert wrong.output.count("\n") == 1


@pytest.mark.parametrize("name", ["COVER_IMAGE_PATH", "MODEL_PATH"])
def test_a_missing_file_is_said_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"{name}=/nowhere/file\n")
    wrong = Run(tmp_path, free_port())
    assert wrong.close() == 1
    assert wrong.output.startswith(f"plate-detect: {name}=/nowhere/file: ")
    assert wrong.output.count("\n") == 1


def test_metrics_ports_beyond_the_last_are_said_in_one_line(tmp_path: Path) -> None:
    wrong = Run(tmp_path, free_port(), METRICS_PORT="65535")
    assert wrong.close() == 1
    assert wrong.output.startswith("plate-detect: METRICS_PORT=65535 is too high: ")
    assert wrong.output.count("\n") == 1


def test_a_taken_metrics_port_is_no_obstacle(tmp_path: Path) -> None:
    """As the worker of another service on this machine takes it."""
    with socket.create_server(("", free_port())) as taken:
        port = taken.getsockname()[1]
        run = Run(tmp_path, free_port(), METRICS_PORT=str(port))
        try:
            wait_until(lambda: run.output.count("metrics on port") == 2)
            run.expect("plate-detect: ready: http://127.0.0.1")
        finally:
            run.process.terminate()
            assert run.close() == 0, run.output
    assert f'"port": {port},' not in run.output


def test_a_file_in_the_place_of_the_folder_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "var").touch()
    wrong = Run(tmp_path, free_port())
    assert wrong.close() == 1
    assert wrong.output == f"plate-detect: {tmp_path}/var cannot be made a folder: File exists\n"


def test_a_folder_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "var" / "run.lock").mkdir(parents=True)
    wrong = Run(tmp_path, free_port())
    assert wrong.close() == 1
    assert re.fullmatch(r"plate-detect: .*Is a directory: '.*/var/run\.lock'\n", wrong.output)


def test_any_name_of_the_folder_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "one #1; 100% 'mine' %(here)s"
    folder.mkdir()
    run = Run(folder, free_port())
    try:
        run.expect("plate-detect: ready: http://127.0.0.1")
        assert "redis" in (folder / "var" / "supervisord.log").read_text()
    finally:
        run.process.terminate()
        assert run.close() == 0, run.output
