"""The command itself: which checks there are, and how their findings are shown."""

import asyncio
from collections import Counter
from enum import StrEnum
from typing import Annotated

import typer

from cli.doctor.findings import Check, Finding, Installation, Level, problem
from cli.doctor.model import check_model
from cli.doctor.network import check_ports, check_webhooks
from cli.doctor.redis import check_redis
from cli.doctor.storage import check_storage
from cli.doctor.system import check_settings, check_system
from cli.exits import ExitCode
from cli.output import print_json, print_table
from schemas.settings.base import SettingsError

CHECK_SECONDS = 120.0
"""Longest time of one check; loading the networks may take some seconds."""


class CheckName(StrEnum):
    """What can be checked."""

    SETTINGS = "settings"
    REDIS = "redis"
    STORAGE = "storage"
    MODEL = "model"
    PORTS = "ports"
    WEBHOOKS = "webhooks"
    SYSTEM = "system"


CHECKS: dict[CheckName, Check] = {
    CheckName.SETTINGS: check_settings,
    CheckName.REDIS: check_redis,
    CheckName.STORAGE: check_storage,
    CheckName.MODEL: check_model,
    CheckName.PORTS: check_ports,
    CheckName.WEBHOOKS: check_webhooks,
    CheckName.SYSTEM: check_system,
}


def doctor(
    checks: Annotated[
        list[CheckName] | None, typer.Argument(metavar="[CHECK]...", help="Only these checks.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Check what the service needs here, and say how to mend what is wrong.

    It checks settings, Redis, storage, the networks, ports, receivers of webhooks and limits of the
    system. It changes nothing, and sends nothing to the receivers. Exit code: 1 if there is a
    problem, 3 if there are only warnings.
    """
    found = asyncio.run(examine(checks or list(CHECKS)))
    if as_json:
        for name, finding in found:
            print_json({"check": name, "level": finding.level, "text": finding.text,
                        "mend": finding.mend or None})  # fmt: skip
    else:
        rows = [(finding.level, name, finding.text, finding.mend) for name, finding in found]
        print_table(("", "check", "found", "how to mend it"), rows)
    levels = Counter(finding.level for _, finding in found)
    if levels[Level.PROBLEM]:
        raise typer.Exit(ExitCode.FAILED)
    if levels[Level.WARNING]:
        raise typer.Exit(ExitCode.REVIEW)


async def examine(names: list[CheckName]) -> list[tuple[CheckName, Finding]]:
    """Run checks, one after the other; return all findings."""
    try:
        installation = Installation.load()
    except SettingsError as error:
        return [(CheckName.SETTINGS, problem(str(error), "correct it in the environment or .env"))]
    return [
        (name, finding) for name in names for finding in await _findings(CHECKS[name], installation)
    ]


async def _findings(check: Check, installation: Installation) -> list[Finding]:
    found: list[Finding] = []
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            found.extend([finding async for finding in check(installation)])
    except TimeoutError:
        found.append(problem(f"no result within {CHECK_SECONDS:g} s", "try again"))
    except Exception as error:  # noqa: BLE001 - one check that fails must not hide the others
        # Not its text, which may quote an address.
        found.append(problem(f"the check failed: {type(error).__name__}", "report it"))
    return found
