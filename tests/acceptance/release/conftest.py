"""What a release publishes, built once, and the service installed from its wheel."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.lean_venv import lean_venv, site_packages
from tests.support.ports import free_port
from tests.support.release import CLIENT, build
from tests.support.run_command import Run
from tests.support.service import wait_until
from tests.support.tables import ROOT

KEY = "key-of-the-dotenv-file"


@dataclass(frozen=True)
class Built:
    """The files of one project."""

    sdist: Path
    wheel: Path


@dataclass(frozen=True)
class Installed:
    """A wheel in an environment of its own, and a folder to use it in."""

    python: Path
    site: Path
    folder: Path

    @property
    def command(self) -> str:
        """Path of `plate-detect`."""
        return str(self.python.with_name("plate-detect"))

    @property
    def environment(self) -> Mapping[str, str]:
        """Nothing of the tests: neither settings, nor paths to the checkout."""
        return {"PATH": os.defpath, "HOME": str(self.folder), "LANG": "C.UTF-8"}

    def written(self) -> dict[str, int]:
        """Return the files of the environment's own, with the time of the last change."""
        return {
            str(path): path.stat().st_mtime_ns
            for path in self.python.parents[1].rglob("*")
            if path.is_file()
        }


@pytest.fixture(scope="session")
def service_files(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(*build(ROOT, tmp_path_factory.mktemp("service")))


@pytest.fixture(scope="session")
def client_files(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(*build(CLIENT, tmp_path_factory.mktemp("client")))


def install(wheel: Path, folder: Path) -> Installed:
    work = folder / "work"
    work.mkdir()
    python = lean_venv(folder / "venv", wheel)
    return Installed(python, site_packages(folder / "venv"), work)


@pytest.fixture(scope="session")
def installed(service_files: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(service_files.wheel, tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="session")
def installed_client(client_files: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(client_files.wheel, tmp_path_factory.mktemp("client-installed"))


@pytest.fixture(scope="session")
def service(installed: Installed) -> Iterator[Run]:
    """`plate-detect run` in the folder; all its settings come from the `.env` there."""
    port = free_port()
    (installed.folder / ".env").write_text(
        f"HOST=127.0.0.1\nPORT={port}\nMETRICS_PORT=0\nAPI_KEYS={KEY}\nDETECTIONS=true\n"
    )
    # A user's own files, as a web application has them.
    for name in ("producer.py", "consumer.py", "schemas.py", "models/__init__.py"):
        own = installed.folder / name
        own.parent.mkdir(exist_ok=True)
        own.write_text("raise SystemExit('a file of the user was imported')\n")
    before = installed.written()
    run = Run(installed.folder, [installed.command, "run"], port, installed.environment)
    try:
        wait_until(run.is_ready, 90, lambda: run.output)
        yield run
    finally:
        if run.process.poll() is None:
            run.interrupt()
        status = run.close()
    assert status == 0, run.output
    assert installed.written() == before, "the service has written where it is installed"
