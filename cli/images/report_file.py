"""The file of `--json`, which must not be an image that was named by mistake."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import typer

from cli.images.sources import Source


def check_report(path: Path | None, sources: Sequence[Source]) -> None:
    """Raise typer.BadParameter if the file exists and is no report, but perhaps a photo."""
    if path is None or not path.is_file():
        return
    real = path.resolve()
    is_input = any(real == source.path.resolve() for source in sources)
    if is_input or not _may_be_report(path):
        raise typer.BadParameter(f"--json would overwrite {path}, which is no report")


@contextmanager
def open_report(path: Path | None) -> Iterator[IO[bytes] | None]:
    """Open the file of the report, or nothing without a path. Raises OSError."""
    if path is None:
        yield None
        return
    with path.open("wb") as file:
        yield file


def _may_be_report(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) in (b"", b"{")
