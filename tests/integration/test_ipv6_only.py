"""A cluster may have only IPv6."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_on_a_cluster import photo
from tests.support.tables import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def own_network() -> list[str]:
    """Return the command that runs a program in a network of its own."""
    for options in (["--net"], ["--map-root-user", "--net"]):
        command = [shutil.which("unshare") or "unshare", *options]
        try:
            if not subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
                return command
        except OSError:
            break
    pytest.skip("this machine allows no network of our own (unshare --net)")


def test_all_roles_work_without_ipv4(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo())
    command = [*own_network(), sys.executable, "-m", "tests.support.ipv6_only"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"}
    done = subprocess.run(
        [*command, str(tmp_path), str(tmp_path / "photo.jpg")],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "completed\n"), done.stderr
