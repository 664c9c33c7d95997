"""Running code as if only some of the installed packages were there."""

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

from packaging.requirements import Requirement

from tests.support.tables import ROOT

_BLOCK = """
import sys

class Missing:
    names = frozenset(sys.argv[1].split())

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_with(pins: Iterable[str]) -> set[str]:
    """Return the distributions that an installation of ``pins`` brings, by their metadata."""
    found: set[str] = set()
    waiting = [Requirement(pin) for pin in pins]
    while waiting:
        one = waiting.pop()
        if _normal(one.name) in found:
            continue
        try:
            needed = [Requirement(text) for text in requires(one.name) or ()]
        except PackageNotFoundError:
            continue
        found.add(_normal(one.name))
        extras = one.extras or {""}
        waiting += [
            each for each in needed
            if each.marker is None or any(each.marker.evaluate({"extra": it}) for it in extras)
        ]  # fmt: skip
    return found


def missing_modules(there: set[str]) -> set[str]:
    """Return the installed modules that no distribution of ``there`` brings."""
    return {
        module
        for module, owners in packages_distributions().items()
        if not {_normal(owner) for owner in owners} & there
    }


def run_without(
    missing: set[str], code: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python code that cannot import the modules ``missing``."""
    return subprocess.run(
        [sys.executable, "-c", _BLOCK + code, " ".join(missing)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
