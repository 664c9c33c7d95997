"""What a file is charged with before it is decoded is what its decoder will take."""

import numpy as np
import pytest

from consumer.errors import ImageError
from consumer.vision.image.decoder import decode, read_header
from schemas.contract.errors import ImageErrorCode as Code
from tests.corpus.cases import MAX_IMAGE_PIXELS, ImageCase
from tests.corpus.sizes import two_sizes
from tests.unit.vision.pictures import PIXELS, encoded, riff, smooth, tiff


@pytest.mark.parametrize("picture", list(two_sizes()), ids=lambda picture: picture.name)
def test_a_file_of_two_sizes_is_refused_by_its_header(picture: ImageCase) -> None:
    for read in (read_header, decode):
        with pytest.raises(ImageError) as refused:
            read(picture.data, max_pixels=MAX_IMAGE_PIXELS)
        assert refused.value.code is Code.CORRUPT_IMAGE


@pytest.mark.parametrize("kind", ["lossless", "lossy"])
def test_alpha_that_a_webp_does_not_announce_is_charged(kind: str) -> None:
    pixels = np.dstack((smooth(), smooth(channels=1)))
    announced = encoded(pixels, "WEBP", lossless=kind == "lossless", exif=tiff(1))
    assert announced[12:16] == b"VP8X"
    silent = bytearray(announced)
    silent[20] &= ~0x10
    assert read_header(bytes(silent), max_pixels=PIXELS) == read_header(
        announced, max_pixels=PIXELS
    )


def test_a_canvas_and_its_frame_of_one_size_are_taken() -> None:
    canvas = b"\0\0\0\0" + (63).to_bytes(3, "little") + (47).to_bytes(3, "little")
    frame = encoded(smooth(), "WEBP", lossless=True)[20:]
    data = riff((b"VP8X", canvas), (b"XMP ", b"hello"), (b"VP8L", frame), (b"XMP ", b"hello"))
    assert (decode(data, max_pixels=PIXELS).rgb == smooth()).all()
