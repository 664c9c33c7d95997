"""All packages of the images have wheels for the machines that the images are for."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.package_index import pip_options
from tests.support.programs import skip_without
from tests.support.service import ROOT

pytestmark = pytest.mark.slow

# The C library of the base image, Debian 12, is 2.36.
PLATFORMS = ("x86_64-manylinux_2_36", "aarch64-manylinux_2_36")
NOT_LOCKED = re.compile(r"(cuda|nvidia|setuptools|triton)[-=]")
"""Of CUDA's libraries each build of torch pins its own; `pip freeze` leaves out setuptools."""


def resolver() -> str:
    """Return the path of uv, which resolves for other machines and needs metadata only."""
    found = shutil.which("uv", path=Path(sys.executable).parent) or shutil.which("uv")
    if found is None:
        skip_without("uv is not installed")
    return found


def resolved(target: str, platform: str) -> set[str]:
    """Return the pins of all packages of a target of the Dockerfile."""
    options = ["--cpu"] if target == "cpu" else []
    direct = subprocess.run(
        [sys.executable, ROOT / "deploy/requirements.py", *options],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    index = pip_options()
    names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX"}
    done = subprocess.run(
        [
            resolver(), "pip", "compile", "--no-config", "--quiet", "--no-header", "--no-annotate",
            "--only-binary", ":all:", "--python-version", "3.11", "--python-platform", platform,
            "--constraints", ROOT / "constraints.txt", "-",
        ],
        env={**os.environ, **{names[key]: index[key] for key in names if key in index}},
        input=direct, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_all_packages_have_wheels_and_are_locked(target: str, platform: str) -> None:
    found = {pin for pin in resolved(target, platform) if not NOT_LOCKED.match(pin)}
    locked = {re.sub(r"[-_.]+(?=.*==)", "-", pin.lower()) for pin in
              (ROOT / "constraints.txt").read_text().split()}  # fmt: skip
    assert len(found) > 40
    assert found <= locked
