"""Drawn images with fictitious plates, and the check of a result."""

import io
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from models.drawing.scenes import Scene, draw_scene

Pixels = npt.NDArray[np.uint8]


@cache
def scene(seed: int = 0, width: int = 960, height: int = 640) -> Scene:
    """Return a drawn street scene with one plate; the same for the same seed."""
    return draw_scene(np.random.default_rng(seed), width, height)


def encoded(pixels: Pixels, image_format: str = "JPEG", **options: object) -> bytes:
    """Return an image file of RGB pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **{"quality": 95, **options})
    return buffer.getvalue()


def scene_file(seed: int = 0, image_format: str = "JPEG", width: int = 960) -> bytes:
    """Return a drawn scene as a file."""
    return encoded(scene(seed, width, width * 2 // 3).rgb, image_format)


def pixels_of(data: bytes) -> Pixels:
    """Return the RGB pixels of an image file."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def assert_covered(original: Scene, result: bytes) -> None:
    """Check that every plate is covered and the rest of the image is unchanged."""
    Image.open(io.BytesIO(result)).verify()
    after, before = pixels_of(result), original.rgb
    assert after.shape == before.shape
    plates = np.zeros(before.shape[:2], np.uint8)
    cv2.fillPoly(plates, [quad.astype(np.int32) for quad in original.quads], 1)
    change = np.abs(after.astype(int) - before).max(axis=2)
    around = cv2.dilate(plates, np.ones((25, 61), np.uint8))
    assert change[plates == 1].mean() > 25, "the plate is still there"
    assert np.median(change[around == 0]) < 12, "the rest of the image has changed"
    letters = before[plates == 1].std()
    assert after[plates == 1].std() < 0.8 * letters, "letters are still visible"
