"""A virtual environment that has a built wheel and the packages that it names, and nothing else.

The packages are links to those of the tests' own environment. So no network is needed, the versions
are the locked ones, and what the metadata of the wheel forget is missing.
"""

import compileall
import subprocess
import sys
import venv
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.packages import installed_with


def lean_venv(folder: Path, wheel: Path) -> Path:
    """Make an environment in ``folder``, and return its Python."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index",
         "--no-deps", "--disable-pip-version-check", wheel],
        check=True, timeout=120,
    )  # fmt: skip
    site = site_packages(folder)
    needed = direct_requirements(site)
    found = installed_with(needed)
    missing = {canonicalize_name(Requirement(pin).name) for pin in needed} - found
    assert not missing, f"not installed for the tests: {missing}"
    for name in found:
        _link(distribution(name), site)
    return python


def site_packages(folder: Path) -> Path:
    """Return the folder of an environment's packages."""
    (found,) = folder.glob("lib/python*/site-packages")
    return found


def direct_requirements(site: Path) -> list[str]:
    """Return what the one distribution there needs, without its extras."""
    (own,) = distributions(path=[str(site)])
    needed = [Requirement(text) for text in own.requires or ()]
    return [str(one) for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]


def _link(package: Distribution, site: Path) -> None:
    assert package.files, f"{package.name} does not say which files it has"
    for name in {file.parts[0] for file in package.files} - {"..", "__pycache__"}:
        link = site / name
        if not link.is_symlink():
            link.symlink_to(str(package.locate_file(name)))
            if link.suffix == ".py":
                compileall.compile_file(link, quiet=1)  # as pip does, so that no program has to
