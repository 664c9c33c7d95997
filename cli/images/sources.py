"""Finding the images that a command is to process, in files and folders.

The first bytes of a file decide whether it is an image, as in the service. A file that is named
like an image and is none is not left out silently: it fails, since its owner expects a result.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from schemas.contract.errors import ImageErrorCode
from schemas.contract.formats import (
    ACCEPTED,
    HEAD_BYTES,
    accepted_format,
    binary_format,
    text_format,
)

CANNOT_READ = "cannot_read"
"""Code of an image, or of a folder, that the file system does not give."""

_NAMED_AS_IMAGE = re.compile(
    r"\.(jp[eg2]|jpeg|jfif|jxl|png|webp|hei[cf]|avif|gif|bmp|tiff?|dng|cr[23]|nef|arw|raf|orf|rw2)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an image has no result: a code for programs, and a text for people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Source:
    """One image. ``place``: its path below the folder of results, with its own name."""

    path: Path
    place: PurePath
    fault: Fault | None = None


@dataclass(slots=True)
class Found:
    """The images in their order, and how many other files the folders hold."""

    sources: list[Source] = field(default_factory=list)
    ignored: int = 0


def find_sources(arguments: Sequence[Path]) -> Found:
    """Find all images of files and folders; each file once, hidden ones in folders not at all.

    What a single folder holds has its path below it as its place. Of several arguments, each folder
    keeps its own name, as with `cp -r`.
    """
    found, seen = Found(), set[str]()
    for argument in arguments:
        if argument.is_dir():
            top = PurePath() if len(arguments) == 1 else PurePath(argument.resolve().name)
            candidates = _walk(argument, top)
        else:
            candidates = iter([_described(argument, PurePath(argument.name), is_named=True)])
        for source in candidates:
            if source is None:
                found.ignored += 1
            elif (real := os.path.realpath(source.path)) not in seen:
                seen.add(real)
                found.sources.append(source)
    return found


def is_inside(folder: Path, arguments: Sequence[Path]) -> Path | None:
    """Return the argument that is, or contains, a folder: its results would be its images next."""
    real = folder.resolve()
    for argument in arguments:
        if argument.is_dir() and real.is_relative_to(argument.resolve()):
            return argument
    return None


def _walk(top: Path, place: PurePath) -> Iterator[Source | None]:
    unreadable: list[OSError] = []
    for folder, names, files in os.walk(top, onerror=unreadable.append):
        names[:] = sorted(name for name in names if not name.startswith("."))
        here = Path(folder)
        for name in sorted(name for name in files if not name.startswith(".")):
            yield _described(here / name, place / here.relative_to(top) / name, is_named=False)
    for error in unreadable:
        path = Path(error.filename)
        yield Source(path, place / path.name, _unreadable(error))


def _described(path: Path, place: PurePath, *, is_named: bool) -> Source | None:
    """Return a file as a source; None if it is no image, and only the walk has found it."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait
            is_image = is_named
            fault = Fault(CANNOT_READ, "not a file")
        else:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
            if accepted_format(head) is not None:
                return Source(path, place)
            is_image = is_named or _NAMED_AS_IMAGE.fullmatch(path.suffix) is not None
            fault = _unsupported(head)
    except OSError as error:
        is_image, fault = True, _unreadable(error)
    return Source(path, place, fault) if is_image else None


def _unsupported(head: bytes) -> Fault:
    kind = binary_format(head) or text_format(head)
    is_what = f"it is {kind}" if kind else "its format is unknown" if head else "it is empty"
    detail = f"{is_what}; accepted are {ACCEPTED}"
    return Fault(ImageErrorCode.UNSUPPORTED_FORMAT, detail)


def _unreadable(error: OSError) -> Fault:
    return Fault(CANNOT_READ, error.strerror or type(error).__name__)
