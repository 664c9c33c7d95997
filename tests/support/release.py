"""`python -m tests.support.release OUT`: everything that a release publishes, into a folder.

Source distributions and wheels of the service and of the client, a software bill of materials
(CycloneDX) of the service with what it needs, and SHA-256 sums. RELEASING.md says when.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from schemas.version import VERSION
from tests.support.lean_venv import lean_venv
from tests.support.tables import ROOT

CLIENT = ROOT / "client"
SBOM_NAME = f"plate-detect-{VERSION}.cdx.json"


class ReleaseError(Exception):
    """There is nothing to publish yet. The message is one line."""


def build(project: Path, out: Path) -> tuple[Path, Path]:
    """Build a source distribution, and from it a wheel; return both paths."""
    before = set(out.iterdir())
    _build(project, out)
    made = set(out.iterdir()) - before
    (archive,) = (path for path in made if path.name.endswith(".tar.gz"))
    (wheel,) = (path for path in made if path.suffix == ".whl")
    return archive, wheel


def build_wheel(project: Path, out: Path) -> Path:
    """Build a wheel from the files of a project, and return its path."""
    _build(project, out, "--wheel")
    (wheel,) = out.glob("*.whl")
    return wheel


def _build(project: Path, out: Path, *options: str) -> None:
    # The builder is locked with the other tools, so nothing is downloaded.
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, *options, project],
        check=True, stdout=subprocess.DEVNULL, timeout=300,
    )  # fmt: skip


def write_sbom(python: Path, out: Path) -> Path:
    """Write the bill of materials of an environment that has the service; return its path."""
    path = out / SBOM_NAME
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as static:
        # The tool does not read the version from where pyproject.toml says that it is.
        static.write(project.replace('dynamic = ["version"]', f'version = "{VERSION}"', 1))
        static.flush()
        subprocess.run(
            [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", static.name,
             "--mc-type", "application", "--output-reproducible", "--output-format", "JSON",
             "--output-file", path, python],
            check=True, timeout=120,
        )  # fmt: skip
    return path


def check_changelog(text: str) -> None:
    """Check that the changelog describes this version, and from when it is.

    Raises:
        ReleaseError: it does not.
    """
    heading = rf"^## \[?{re.escape(VERSION)}]? - (\d{{4}}-\d\d-\d\d)$"
    found = re.search(heading, text, re.MULTILINE)
    if not found:
        raise ReleaseError(f"CHANGELOG.md has no heading `## {VERSION} - {date.today()}`")  # noqa: DTZ011
    try:
        date.fromisoformat(found[1])
    except ValueError:
        raise ReleaseError(f"CHANGELOG.md: {found[1]} is no date") from None


def main(out: Path) -> None:
    """Make a release; prints its files and their sizes."""
    check_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    out.mkdir(parents=True)
    _, wheel = build(ROOT, out)
    build(CLIENT, out)
    with tempfile.TemporaryDirectory() as folder:
        write_sbom(lean_venv(Path(folder) / "venv", wheel), out)
    lines = []
    for path in sorted(out.iterdir()):
        lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
        print(f"{path.stat().st_size / 1e6:7.2f} MB  {path}")
    (out / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (ReleaseError, FileExistsError, subprocess.CalledProcessError) as error:
        sys.exit(f"not released: {error}")
