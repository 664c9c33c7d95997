"""What a case of the corpus is."""

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
class Shown:
    """An image that gets through: the size of its result in pixels, upright.

    ``like``: the result's colours, (H, W, 3). ``hidden``: a colour of invisible pixels, which no
    pixel of the result may have.
    """

    width: int
    height: int
    like: Pixels | None = None
    hidden: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Picture:
    """A file that somebody uploads."""

    name: str
    data: bytes
    expected: Shown | ImageErrorCode

    @property
    def refused(self) -> bool:
        """Whether its first bytes have the whole request refused."""
        return self.expected is ImageErrorCode.UNSUPPORTED_FORMAT


@dataclass(frozen=True)
class Named:
    """File names of one upload, what is kept of them, and what the results are called."""

    name: str
    sent: tuple[str, ...]
    kept: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """Bytes that a client sends. ``kind``: of the problem; none if HTTP itself is broken.

    ``drips``: the client goes on with a byte now and then until it is answered.
    """

    name: str
    sent: bytes
    status: int
    kind: str = ""
    drips: bool = False


Fields = dict[str | bytes, str | bytes | int]


@dataclass(frozen=True)
class Letter:
    """A dead letter: its reason and a part of its detail."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Publication:
    """Stream entries of one task, each published when the one before is settled.

    ``entries`` makes them for a task id. ``errors``: code of each failed image by its index;
    ``results``: names. Without either there is no such task.
    """

    name: str
    entries: Callable[[str], list[Fields]]
    letters: tuple[Letter, ...] = ()
    errors: dict[int, ImageErrorCode] = field(default_factory=dict)
    results: tuple[str, ...] = ()
    status: str | None = None
