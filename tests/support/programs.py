"""Programs that some tests need and that are not Python packages."""

import os
import shutil
from typing import NoReturn

import pytest

REQUIRED = "REQUIRE_PROGRAMS"
"""Set by .ci/run, which installs all programs: a missing one then fails its tests."""

_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))


def find_program(name: str) -> str | None:
    """Return the path of a program, None if it is not installed."""
    return shutil.which(name, path=_PATH)


def needed_program(name: str) -> str:
    """Return the path of a program; without it skip the test, or fail it in .ci/run."""
    found = find_program(name)
    if found is None:
        skip_without(f"{name} is not installed")
    return found


def skip_without(reason: str) -> NoReturn:
    """Skip the test, or fail it in .ci/run."""
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)
