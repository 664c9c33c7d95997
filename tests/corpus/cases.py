"""The kinds of case in the corpus: an input with its expected result."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.contract.errors import ImageErrorCode

Pixels = NDArray[np.uint8]

MAX_IMAGE_PIXELS = 12_000_000
MAX_FILE_BYTES = 4 << 20
INLINE_MAX_BYTES = 100_000
SECRET = b"PLANTED-SECRET"
"""Written into metadata and behind the pixels; no result may hold it."""


@dataclass(frozen=True)
class ExpectedImage:
    """The expected result of an image: its size in pixels, upright.

    ``like``: the result's colours, (H, W, 3). ``hidden``: a colour of invisible pixels, which no
    pixel of the result may have.
    """

    width: int
    height: int
    like: Pixels | None = None
    hidden: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class ImageCase:
    """An image file that a client uploads."""

    name: str
    data: bytes
    expected: ExpectedImage | ImageErrorCode

    @property
    def refused(self) -> bool:
        """Whether the whole request is refused because of its first bytes."""
        return self.expected is ImageErrorCode.UNSUPPORTED_FORMAT


@dataclass(frozen=True)
class NameCase:
    """File names of one upload, the names that are kept, and the names of the results."""

    name: str
    sent: tuple[str, ...]
    kept: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class RequestCase:
    """Bytes that a client sends. ``kind``: of the problem; none if HTTP itself is broken.

    ``drips``: the client sends one more byte at intervals until it has a response.
    """

    name: str
    sent: bytes
    status: int
    kind: str = ""
    drips: bool = False


Fields = dict[str | bytes, str | bytes | int]


@dataclass(frozen=True)
class ExpectedDeadLetter:
    """A dead letter: its reason and a part of its detail."""

    reason: str
    detail: str


@dataclass(frozen=True)
class EntryCase:
    """Stream entries of one task, each published when the one before is settled.

    ``entries`` makes them for a task id. ``errors``: code of each failed image by its index;
    ``results``: names. Without either there is no such task.
    """

    name: str
    entries: Callable[[str], list[Fields]]
    letters: tuple[ExpectedDeadLetter, ...] = ()
    errors: dict[int, ImageErrorCode] = field(default_factory=dict)
    results: tuple[str, ...] = ()
    status: str | None = None
