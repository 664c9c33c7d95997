"""Checks of every decoded image."""

import numpy as np
from numpy.typing import NDArray

from consumer.vision.image.decoder import DecodedImage, decode
from tests.unit.vision.pictures import PIXELS


def decoded(data: bytes) -> DecodedImage:
    """Decode an image, and check types and memory layout."""
    image = decode(data, max_pixels=PIXELS)
    assert image.rgb.dtype == np.uint8
    assert image.rgb.flags.c_contiguous
    assert image.rgb.flags.writeable
    if image.alpha is not None:
        assert image.alpha.dtype == np.uint8
        assert image.alpha.shape == image.rgb.shape[:2]
        assert image.alpha.flags.writeable
    return image


def off(image: DecodedImage, expected: NDArray[np.uint8]) -> float:
    """Return the mean difference from ``expected``, after checking the shape."""
    assert image.rgb.shape == expected.shape
    return float(np.abs(image.rgb.astype(int) - expected).mean())
