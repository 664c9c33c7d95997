"""`plate-detect cover`: cover plates on this machine, without a server."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.images.outcomes import Outcomes
from cli.images.report_file import check_report, open_report
from cli.images.results_folder import FolderInUseError, ResultsFolder
from cli.images.sources import Found, find_sources, is_inside
from cli.output import fail

if TYPE_CHECKING:
    from cli.images.covering import Engine

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="FILES|FOLDER...", help="Images, and folders of them.", exists=False),
]
Report = Annotated[
    Path | None,
    typer.Option("--json", metavar="REPORT", help="Write one JSON line per image to this file."),
]


def cover(
    inputs: Inputs,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")],
    report: Report = None,
) -> None:
    """Cover the plates of images on this machine, without a server and without Redis.

    The settings are those of the worker. Results are WebP files; the tree of a folder is kept. The
    same command continues where an earlier one ended, and processes again only images that have
    changed, or all if the settings or the model have. Exit code: 1 if an image failed, 3 if a
    result needs review.
    """
    found = images_of(inputs, out)
    check_report(report, found.sources)
    engine = _load_engine()
    try:
        with (
            ResultsFolder.open(out, engine.made_with) as folder,
            open_report(report) as file,
            Outcomes.shown(len(found.sources), file) as outcomes,
        ):
            _run(engine, folder, outcomes, found)
    except (FolderInUseError, OSError) as error:
        fail(str(error))
    print(f"{outcomes.summary}{ignored(found)}")
    raise typer.Exit(outcomes.exit_code)


def images_of(inputs: list[Path], out: Path | None) -> Found:
    """Return the images of the arguments; end the command if they cannot be used."""
    if out is not None and (inside := is_inside(out, inputs)) is not None:
        raise typer.BadParameter(
            f"--out must be outside of {inside}: its results would be images of the next run"
        )
    found = find_sources(inputs)
    if not found.sources:
        fail(f"there are no images{ignored(found)}")
    return found


def _load_engine() -> "Engine":
    # Imported here: other commands need neither OpenVINO nor OpenCV.
    from cli.images.covering import Engine
    from consumer.errors import ConsumerError
    from consumer.settings import WorkerSettings
    from schemas.settings.base import SettingsError

    try:
        return Engine.load(WorkerSettings.load())
    except (SettingsError, ConsumerError) as error:
        fail(str(error))


def _run(engine: "Engine", folder: ResultsFolder, outcomes: Outcomes, found: Found) -> None:
    from cli.images.covering import Coverer, FolderFullError
    from consumer.errors import ConsumerError

    try:
        asyncio.run(Coverer(engine, folder, outcomes).run(found.sources))
    except (FolderFullError, ConsumerError) as error:
        outcomes.say(outcomes.summary)
        fail(str(error))


def ignored(found: Found) -> str:
    """Return how many files of folders were no images, for the end of a line."""
    return f" ({found.ignored} other files ignored)" if found.ignored else ""
