"""Covers that are added to a finished result."""

import numpy as np
import pytest

from consumer.errors import ImageError
from consumer.vision.cover.cover import FILL, touches
from consumer.vision.finding import CoverOptions, FindOptions, add_covers, bytes_to_add_covers
from consumer.vision.image.decoder import DecodedImage, decode
from consumer.vision.image.encoder import encode_webp

OPTIONS = CoverOptions(
    find=FindOptions(640, "off", corners=False), confidence=0.3, stub=None, padding=0.4,
    max_pixels=10, webp_quality=90, webp_method=2,
)  # fmt: skip
HEIGHT, WIDTH = 60, 100


def quad(x: float, y: float, width: float = 20, height: float = 10) -> np.ndarray:
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], np.float32)


def picture(alpha: np.ndarray | None = None) -> bytes:
    rgb = np.full((HEIGHT, WIDTH, 3), (200, 30, 30), np.uint8)
    return encode_webp(DecodedImage(rgb, alpha))


def is_covered(rgb: np.ndarray, x: int, y: int) -> bool:
    """Whether a pixel is covered; beside an edge, the file's chroma is only half as fine."""
    return bool(np.abs(rgb[y, x].astype(int) - np.array(FILL)).max() < 40)


def test_the_covers_of_all_corrections_are_drawn_with_their_margin() -> None:
    made = add_covers(
        picture(), [quad(10, 10)[None], np.stack((quad(50, 5), quad(60, 40)))], OPTIONS
    )
    rgb = decode(made.webp, max_pixels=1 << 20).rgb
    for x, y in ((10, 10), (50, 5), (60, 40)):
        assert is_covered(rgb, x + 1, y + 1)
        assert is_covered(rgb, x + 18, y + 8)
        assert is_covered(rgb, x + 10, y - 3), "the margin"
        assert not is_covered(rgb, x + 10, y - 9), "the rest stays"
    assert (made.width, made.height, made.outside) == (WIDTH, HEIGHT, frozenset())
    assert bytes_to_add_covers(made.webp, OPTIONS) > WIDTH * HEIGHT * 3


def test_a_correction_outside_the_image_is_left_out_as_a_whole() -> None:
    both = np.stack((quad(10, 10), quad(200, 10)))
    made = add_covers(picture(), [both, quad(50, 20)[None]], OPTIONS)
    assert made.outside == {0}
    rgb = decode(made.webp, max_pixels=1 << 20).rgb
    assert is_covered(rgb, 60, 25)
    assert not is_covered(rgb, 20, 15)


def test_without_a_cover_in_the_image_there_is_no_new_file() -> None:
    made = add_covers(picture(), [quad(-50, -50)[None]], OPTIONS)
    assert (made.webp, made.outside) == (b"", {0})
    assert (made.width, made.height) == (WIDTH, HEIGHT)


def test_a_cover_in_a_transparent_place_is_opaque() -> None:
    made = add_covers(picture(np.zeros((HEIGHT, WIDTH), np.uint8)), [quad(10, 10)[None]], OPTIONS)
    image = decode(made.webp, max_pixels=1 << 20)
    assert image.alpha is not None
    assert image.alpha[15, 20] == 255
    assert image.alpha[50, 90] == 0


def test_a_damaged_result_is_an_error() -> None:
    with pytest.raises(ImageError):
        add_covers(picture()[:60], [quad(1, 1)[None]], OPTIONS)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [(0, 0, True), (99, 59, True), (-19.5, 5, True), (-30, 5, False), (5, 60.5, False),
     (100.5, 5, False), (-1e5, -1e5, False)],
)  # fmt: skip
def test_which_quads_touch_an_image(x: float, y: float, *, expected: bool) -> None:
    assert touches(quad(x, y), HEIGHT, WIDTH) is expected
