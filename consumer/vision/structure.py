"""Facts from an image file's structure, whatever its format."""

from dataclasses import dataclass, field

from consumer.errors import ImageError
from schemas.contract.errors import ImageErrorCode
from schemas.contract.formats import ImageFormat

MAX_SEGMENTS = 65_536
"""Most parts of a file. No camera or editor comes near; more would buy much work with few bytes."""


@dataclass(slots=True)
class Container:
    """Facts from the file's structure. ``width`` and ``height`` are the stored ones, in pixels.

    ``parts`` are the slices of the file that a decoder needs: the pixels, without the metadata. It
    is given one of ``endings`` after them; a file is whole only if all of these end in the same
    image.
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
        """Note the size of the pixels; only once: of two, a decoder may heed the other one."""
        if self.framed or (self.width and (self.width, self.height) != (width, height)):
            raise corrupt(f"the {self.format} contradicts itself about its size")
        self.width, self.height, self.framed = width, height, True

    def keep(self, start: int, end: int) -> None:
        """Let the decoder have these bytes, which follow those that it has."""
        if self.parts and self.parts[-1].stop == start:
            start = self.parts.pop().start
        self.parts.append(slice(start, end))


def corrupt(detail: str) -> ImageError:
    """Return the error for a file that breaks its own format."""
    return ImageError(ImageErrorCode.CORRUPT_IMAGE, detail)
