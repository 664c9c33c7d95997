"""Backends in several languages, each with its own form parser; see tests/receivers."""

import importlib.util
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.ports import free_port
from tests.support.programs import find_program, skip_without

_FOLDER = Path(__file__).resolve().parents[1] / "receivers"
_START_SECONDS = 60.0


@dataclass
class RealReceiver:
    """A running receiver on a loopback port."""

    port: int
    _lines: "queue.Queue[str]" = field(default_factory=queue.Queue)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def read(self) -> dict[str, Any]:
        """Return the next upload: `task_id`, `images` (name, SHA-256) and `headers`."""
        upload: dict[str, Any] = json.loads(self._lines.get(timeout=20))
        return upload

    def listen(self, process: "subprocess.Popen[str]") -> None:
        """Collect the lines of JSON that the receiver prints, until it ends."""
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                self._lines.put(line)


@dataclass(frozen=True)
class Kind:
    """How to start a receiver; `missing` returns what is not installed for it."""

    command: Callable[[int, Path], list[str]]
    missing: Callable[[], str | None]


def _program(name: str) -> Callable[[], str | None]:
    return lambda: None if find_program(name) else name


def _module(name: str) -> Callable[[], str | None]:
    return lambda: None if importlib.util.find_spec(name) else f"the package {name}"


def _express() -> str | None:
    if not (_FOLDER / "node_modules" / "multer").is_dir():
        return "what `npm ci` installs in tests/receivers"
    return _program("node")()


def _python(name: str) -> Callable[[int, Path], list[str]]:
    return lambda _port, _folder: [sys.executable, str(_FOLDER / name)]


def _node(name: str) -> Callable[[int, Path], list[str]]:
    return lambda _port, _folder: ["node", str(_FOLDER / name)]


def _php(port: int, _: Path) -> list[str]:
    limits = ["-d", "max_file_uploads=50", "-d", "post_max_size=1G"]
    return ["php", *limits, "-S", f"127.0.0.1:{port}", str(_FOLDER / "php.php")]


def _go(_: int, folder: Path) -> list[str]:
    program = folder / "receiver"
    source = str(_FOLDER / "go.go")
    subprocess.run(["go", "build", "-o", program, source], check=True, timeout=100)
    return [str(program)]


KINDS = {
    "aiohttp": Kind(_python("aiohttp_receiver.py"), _module("aiohttp")),
    "express": Kind(_node("express.cjs"), _express),
    "fastapi": Kind(_python("fastapi_receiver.py"), _module("fastapi")),
    "flask": Kind(_python("flask_receiver.py"), _module("flask")),
    "go": Kind(_go, _program("go")),
    "php": Kind(_php, _program("php")),
    "undici": Kind(_node("undici.mjs"), _program("node")),
}


@contextmanager
def real_receiver(name: str, folder: Path, images_field: str) -> Iterator[RealReceiver]:
    """Run a receiver during a block; skip the test if a program or package is missing."""
    missing = KINDS[name].missing()
    if missing is not None:
        skip_without(f"{name} needs {missing}")
    receiver = RealReceiver(free_port())
    command = KINDS[name].command(receiver.port, folder)
    environment = {**os.environ, "PORT": str(receiver.port), "IMAGES_FIELD": images_field}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        reader = threading.Thread(target=receiver.listen, args=(process,))
        reader.start()
        try:
            _wait_until_it_listens(receiver.port, process)
            yield receiver
        finally:
            process.kill()
            reader.join()


def _wait_until_it_listens(port: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, "the receiver ended by itself"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "the receiver does not listen"
            time.sleep(0.05)
        else:
            return
