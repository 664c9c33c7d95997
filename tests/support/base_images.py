"""The images that deploy/Dockerfile and docker-compose.yml start from, also without a registry.

The official ones are taken where a registry answers. Elsewhere Debian's packages make images with
the same interface.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.engine import Engine
from tests.support.package_index import pip_options
from tests.support.programs import needed_program

MADE_PYTHON = "plate-detect-test-python"
MADE_REDIS = "plate-detect-test-redis"

_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
_LEFT_OUT = ("var/cache/apt", "var/lib/apt/lists", *(f"usr/share/{it}" for it in (
    "doc", "info", "locale", "man")))  # fmt: skip
"""What the official slim image lacks, too."""

_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"

# As in the official image, which lets other containers connect without a password.
_REDIS = """
ARG BASE
FROM $BASE
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server \\
    && install -d -o redis /data
WORKDIR /data
USER redis
ENTRYPOINT ["/bin/sh", "-c", "exec \\"$@\\" --protected-mode no", "sh"]
"""


def python_image(engine: Engine, official: str, folder: Path) -> str:
    """Return the name of an image with Python: ``official``, or one made in ``folder``."""
    if _official(engine, official):
        return official
    root = folder / "root"
    script = needed_program("debootstrap")
    made = subprocess.run(
        [script, "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root)],
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert not made.returncode, made.stdout[-3000:] + made.stderr
    (root / "usr/bin/python").symlink_to("python3")
    for mark in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        mark.unlink()
    _reach_packages_as_the_host(root)
    with subprocess.Popen(
        ["tar", "-C", root, *(f"--exclude=./{path}/*" for path in _LEFT_OUT), "-c", "."],
        stdout=subprocess.PIPE,
    ) as archive:
        subprocess.run(
            ["docker", "import", "-", MADE_PYTHON],
            env=engine.environment, stdin=archive.stdout, stdout=subprocess.PIPE, timeout=200,
            check=True,
        )  # fmt: skip
    assert not archive.returncode
    shutil.rmtree(root)
    return MADE_PYTHON


def redis_image(engine: Engine, official: str, debian: str) -> str:
    """Return the name of an image of Redis: ``official``, or one made on top of ``debian``."""
    if _official(engine, official):
        return official
    arguments = [f"--build-arg={argument}" for argument in (f"BASE={debian}", *proxies())]
    engine.docker(
        "build", "--network", "host", *arguments, "-t", MADE_REDIS, "-", text=_REDIS, timeout=300
    )
    return MADE_REDIS


def proxies() -> list[str]:
    """Return the host's variables that name proxies; as build arguments they stay in no image."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    return [it for name in names for it in (name, name.upper()) if it in os.environ]


def _official(engine: Engine, name: str) -> bool:
    try:
        engine.docker("pull", name, timeout=300)
    except (AssertionError, subprocess.TimeoutExpired):
        return False
    return True


def _reach_packages_as_the_host(root: Path) -> None:
    """Give an image the host's certificates, and pip's options for its package index."""
    shutil.copy(Path("/", _CERTIFICATES), root / _CERTIFICATES)
    lines = [f"{name} = {value}" for name, value in pip_options().items()]
    (root / "etc/pip.conf").write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
