"""`plate-detect submit`: send images to a service, and fetch their results."""

import asyncio
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from cli.images.cover import Inputs, Report, ignored, images_of
from cli.images.outcomes import Outcomes
from cli.images.report_file import check_report, open_report
from cli.images.results_folder import FolderInUseError, ResultsFolder
from cli.images.sources import Source
from cli.output import fail

MAX_FILES = 50
URL_VARIABLE, KEY_VARIABLE = "PLATE_DETECT_URL", "PLATE_DETECT_KEY"
DEFAULT_URL = "http://localhost:8000"


def submit(
    inputs: Inputs,
    url: Annotated[
        str, typer.Option(envvar=URL_VARIABLE, help="Address of the service.", show_default=True)
    ] = DEFAULT_URL,
    api_key: Annotated[
        str | None,
        typer.Option(
            help=f"One of the service's API_KEYS. Better in {KEY_VARIABLE}: other users of this"
            " machine can read a command line."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end of the tasks.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the results; implies --wait."),
    ] = None,
    report: Report = None,
    max_files: Annotated[
        int,
        typer.Option(
            min=1, max=1000, envvar="MAX_FILES_PER_REQUEST", help="Images of one task at most."
        ),
    ] = MAX_FILES,
    timeout: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Give up if the service is unavailable, or a task unchanged, for so long.",
        ),
    ] = 600,
) -> None:
    """Send images to a service over HTTP, and print the ids of their tasks.

    With --out the results are written as by `cover`, and the same command continues where an
    earlier one ended. Exit code: 1 if an image failed, 3 if a result needs review.
    """
    from cli.images.service import checked_address

    try:
        address = checked_address(url)
    except ValueError as error:
        raise typer.BadParameter(f"--url {error}") from None
    found = images_of(inputs, out)
    check_report(report, found.sources)
    key = api_key or os.environ.get(KEY_VARIABLE)
    try:
        with (
            open_report(report) as file,
            Outcomes.shown(len(found.sources), file) as outcomes,
        ):
            work = _submit(
                found.sources, address, key, out, outcomes,
                max_files=max_files, waits=wait or out is not None, patience=timeout,
            )  # fmt: skip
            asyncio.run(work)
    except (FolderInUseError, OSError) as error:
        fail(str(error))
    outcomes.say(f"{outcomes.summary}{ignored(found)}")
    raise typer.Exit(outcomes.exit_code)


async def _submit(
    sources: list[Source],
    address: str,
    key: str | None,
    out: Path | None,
    outcomes: Outcomes,
    *,
    max_files: int,
    waits: bool,
    patience: float,
) -> None:
    from cli.images.service import described, http_client, service_client
    from cli.images.submitting import Submitter, made_by
    from plate_detect_client import PlateDetectError

    opened = nullcontext(None) if out is None else ResultsFolder.open(out, made_by(address))
    try:
        with opened as folder:
            async with http_client(address) as http:
                submitter = Submitter(
                    service_client(address, key, http, patience), folder, outcomes,
                    max_files=max_files, waits=waits, patience=patience,
                )  # fmt: skip
                await submitter.run(sources)
    except PlateDetectError as error:
        outcomes.say(outcomes.summary)
        fail(described(error, address))
