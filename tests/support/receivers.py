"""The receivers of examples/, run as their READMEs say."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port
from tests.support.programs import find_program, skip_without
from tests.support.tables import ROOT

_EXAMPLES = ROOT / "examples"
_START_SECONDS = 60.0


@dataclass(frozen=True)
class RealReceiver:
    """A running receiver on a loopback port, which stores what it accepts in `folder`."""

    port: int
    folder: Path

    @property
    def upload_url(self) -> str:
        """Value of BACKEND_UPLOAD_URL."""
        return f"http://127.0.0.1:{self.port}/plates/upload"

    @property
    def callback_url(self) -> str:
        """Value of BACKEND_CALLBACK_URL."""
        return f"http://127.0.0.1:{self.port}/plates/callback"

    def images(self, task_id: str) -> dict[str, bytes]:
        """Return the stored images of a task by name."""
        folder = self.folder / task_id
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    def callback(self, task_id: str) -> bytes:
        """Return the stored callback of a task."""
        return (self.folder / f"{task_id}.json").read_bytes()

    def tasks(self) -> set[str]:
        """Return the ids of all tasks of which anything is stored."""
        names = {path.name for path in self.folder.iterdir()}
        return {name.removesuffix(".json") for name in names if name != ".incoming"}


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
    if not (_EXAMPLES / "node" / "node_modules" / "multer").is_dir():
        return "what `npm ci --prefix examples/node` installs"
    return _program("node")()


def _python(name: str) -> Callable[[int, Path], list[str]]:
    return lambda _port, _folder: [sys.executable, str(_EXAMPLES / "python" / name)]


def _node(*arguments: Path) -> Callable[[int, Path], list[str]]:
    return lambda _port, _folder: ["node", *map(str, arguments)]


def _php(port: int, _: Path) -> list[str]:
    limits = [
        option
        for limit in ("max_file_uploads=50", "upload_max_filesize=50M", "post_max_size=1G")
        for option in ("-d", limit)
    ]
    return ["php", *limits, "-S", f"127.0.0.1:{port}", str(_EXAMPLES / "php" / "server.php")]


def _go(_: int, folder: Path) -> list[str]:
    program = folder / "receiver"
    source = str(_EXAMPLES / "go" / "receiver.go")
    subprocess.run(["go", "build", "-o", program, source], check=True, timeout=100)
    return [str(program)]


_ROUTES = _EXAMPLES / "node" / "app" / "api" / "plates"

KINDS = {
    "aiohttp": Kind(_python("aiohttp_receiver.py"), _module("aiohttp")),
    "express": Kind(_node(_EXAMPLES / "node" / "express.js"), _express),
    "fastapi": Kind(_python("fastapi_receiver.py"), _module("fastapi")),
    "flask": Kind(_python("flask_receiver.py"), _module("flask")),
    "go": Kind(_go, _program("go")),
    "next": Kind(_node(Path(__file__).with_name("route_server.mjs"), _ROUTES), _program("node")),
    "php": Kind(_php, _program("php")),
}


@contextmanager
def real_receiver(
    name: str, folder: Path, images_field: str, secret: str
) -> Iterator[RealReceiver]:
    """Run a receiver during a block; skip the test if a program or package is missing."""
    missing = KINDS[name].missing()
    if missing is not None:
        skip_without(f"{name} needs {missing}")
    receiver = RealReceiver(free_port(), folder / "images")
    receiver.folder.mkdir()
    command = KINDS[name].command(receiver.port, folder)
    environment = {
        **os.environ, "PORT": str(receiver.port), "WEBHOOK_SECRET": secret,
        "IMAGES_FOLDER": str(receiver.folder), "WEBHOOK_IMAGES_FIELD": images_field,
        "PYTHONPATH": str(ROOT / "client"),
    }  # fmt: skip
    with subprocess.Popen(command, env=environment) as process:
        try:
            _wait_until_it_listens(receiver.port, process)
            yield receiver
        finally:
            process.kill()


def _wait_until_it_listens(port: int, process: "subprocess.Popen[bytes]") -> None:
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
