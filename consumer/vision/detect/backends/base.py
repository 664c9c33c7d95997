"""What every back end returns: a loaded network, ready to run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.heads import Head

STRIDE = 32
"""Sides of the network's inputs are multiples of this, in pixels."""

# On one cell of the coarsest map, oneDNN's bfloat16 convolutions for AMX read uninitialised
# memory (seen with PyTorch 2.13): a column 32 pixels wide came back with wrong numbers or NaN.
MIN_SIDE = 2 * STRIDE

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Forward = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""uint8 (N, h, w, 3) RGB -> float32 (N, rows, anchors), the head's own numbers."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network; on a CPU several threads may run it at the same time.

    ``names``: of its classes. ``one_by_one``: whether only batches of one image give the same
    result every time. ``batches_matter``: whether the first batch of a new size is slow.
    """

    forward: Forward
    head: Head
    name: str
    digest: str
    imgsz: int
    names: dict[int, str]
    one_by_one: bool = False
    batches_matter: bool = False
