#!/usr/bin/env python3
"""Looks for known vulnerabilities of the locked packages: deploy/audit.py [OPTION OF PIP-AUDIT]...

It asks the database of open source vulnerabilities (OSV) about each line of constraints.txt, so
also about what only developers and CI install. Exit status: 0 none is known, 1 one is, or pip-audit
failed, 3 the database cannot be reached, so nothing is known.

A vulnerability that cannot concern us is left out by its id in NOT_OURS, with the reason.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import httpx

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
DATABASE = "https://api.osv.dev/v1/query"
NOT_OURS: dict[str, str] = {}
"""Why each of these vulnerabilities, by its id, does not concern this project."""

CONNECT_SECONDS = 15
UNREACHABLE = 3


def why_unreachable(url: str) -> str | None:
    """Return why the database does not answer a query; None if it does."""
    query = {"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "26.0"}
    try:
        httpx.post(url, json=query, timeout=CONNECT_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return None


def main() -> int:
    """Run the audit, and return the exit status."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--osv-url", default=DATABASE)
    url, options = parser.parse_known_args()
    if reason := why_unreachable(url.osv_url):
        print(f"not audited: the database of vulnerabilities cannot be reached: {reason}")  # noqa: T201
        return UNREACHABLE
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pip_audit", "--requirement", CONSTRAINTS, "--no-deps",
         "--disable-pip", "--vulnerability-service", "osv", "--osv-url", url.osv_url,
         "--progress-spinner", "off", *(f"--ignore-vuln={name}" for name in NOT_OURS), *options],
        check=False,
    ).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
