"""What every back end gives: a loaded network, ready to be asked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from consumer.vision.heads import Head

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Forward = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""uint8 (N, h, w, 3) RGB -> float32 (N, rows, anchors), the head's own numbers."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network that can be asked; on a CPU from several threads at the same time.

    ``names``: of its classes. ``one_by_one``: whether only images asked alone get the same answer
    every time. ``batches_matter``: whether the first batch of a new size is slow. ``alone``: the
    same with the threads of all passes, for one that has the CPU to itself; it answers alike.
    """

    forward: Forward
    head: Head
    name: str
    digest: str
    imgsz: int
    names: dict[int, str]
    one_by_one: bool = False
    batches_matter: bool = False
    alone: Forward | None = None
