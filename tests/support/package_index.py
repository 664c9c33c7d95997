"""The package index of this machine, as pip's options name it."""

import os
import subprocess
import sys

_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")


def pip_options() -> dict[str, str]:
    """Return pip's options for its index, without folders of this machine."""
    found = {}
    for name in _OPTIONS:
        words = [word for word in _option(name).split() if not word.startswith(("file:", "/"))]
        if words:
            found[name] = " ".join(words)
    return found


def _option(name: str) -> str:
    """Return an option as the environment or the files of pip set it, else ''."""
    variable = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    if variable is not None:
        return variable
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", f"global.{name}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return asked.stdout.strip() if not asked.returncode else ""
