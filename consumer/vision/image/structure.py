"""The structure of an image file of any format, as ``scan`` reads it."""

from dataclasses import dataclass, field

from consumer.errors import ImageError
from schemas.contract.errors import ImageErrorCode
from schemas.contract.formats import ImageFormat

MAX_SEGMENTS = 65_536
"""Maximum of parts of a file, far above what cameras write: a small file must not take long."""


@dataclass(slots=True)
class Container:
    """The structure of a file. ``width`` and ``height`` are as stored, in pixels.

    ``parts``: slices of the file that a decoder needs, with the pixels and without the metadata.
    ``endings``: bytes to append to them; the file is complete only if it decodes to the same image
    with each.
    """

    format: ImageFormat
    width: int = 0
    height: int = 0
    channels: int = 3
    bit_depth: int = 8
    alpha: bool = False
    animated: bool = False
    exif: bytes | None = None
    icc: bytes = b""
    colour: dict[bytes, bytes] = field(default_factory=dict)
    colour_ends: bool = False
    transparent_grey: int | None = None
    framed: bool = False
    parts: list[slice] = field(default_factory=list)
    endings: tuple[bytes, ...] = (b"",)
    several_scans: bool = False

    def frame(self, width: int, height: int) -> None:
        """Set the size of the pixels, once: given two sizes, a decoder might use the other one."""
        if self.framed or (self.width and (self.width, self.height) != (width, height)):
            raise corrupt(f"the {self.format} contradicts itself about its size")
        self.width, self.height, self.framed = width, height, True

    def keep(self, start: int, end: int) -> None:
        """Add these bytes to ``parts``; they follow those that are in it."""
        if self.parts and self.parts[-1].stop == start:
            start = self.parts.pop().start
        self.parts.append(slice(start, end))


def corrupt(detail: str) -> ImageError:
    """Return the error for a file that breaks its own format."""
    return ImageError(ImageErrorCode.CORRUPT_IMAGE, detail)
