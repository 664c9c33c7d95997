"""The steps of one image as a generator that yields inputs of the networks and receives results.

So the worker, which batches the inputs of many images, and the benchmark and the evaluation, which
run one image at a time, share all steps.
"""

from collections.abc import Callable, Generator
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
NetworkName = Literal["detector", "corners"]


class NetworkInput(NamedTuple):
    """One input of a network: ``pixels`` uint8 (h, w, 3)."""

    network: NetworkName
    pixels: Pixels


R = TypeVar("R")
Steps = Generator[list[NetworkInput], list[Any], R]
"""Yields inputs, and receives for each one what its network returns for one image: ``Detections``
from the detector, ``CornerResult`` from the second stage."""

RunNetwork = Callable[[NetworkName, Pixels], list[Any]]
"""Runs a network on a batch (N, h, w, 3), and returns one result for each input."""


def advance(steps: Steps[R], results: list[Any] | None = None) -> list[NetworkInput] | R:
    """Run to the next inputs of the networks, or to the end; return the inputs or the end's value.

    ``results``: of the inputs before, None at the start.
    """
    try:
        return next(steps) if results is None else steps.send(results)
    except StopIteration as end:
        value: R = end.value
        return value


def run_steps(steps: Steps[R], run: RunNetwork) -> R:
    """Run all steps, one input after the other; return their value."""
    step = advance(steps)
    while isinstance(step, list):
        step = advance(steps, [run(it.network, it.pixels[None])[0] for it in step])
    return step
