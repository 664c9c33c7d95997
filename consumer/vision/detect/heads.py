"""From the raw output of a YOLO head to boxes; and which of its classes are wanted.

A back end returns the head's raw output. It is decoded here, alike for every back end, in float32
at any precision of the network, and only for the few anchors with a sufficient score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.errors import ModelError

Array = NDArray[np.float32]

_ANCHOR_OFFSET = 0.5
_SIDES = 4


class Decoded(NamedTuple):
    """Boxes of an image, one for each of K anchors.

    ``boxes`` (K, 5): centre x, centre y, width, height in pixels and angle in radians, clockwise on
    screen. ``scores`` (K,).
    """

    boxes: Array
    scores: Array


@dataclass(frozen=True, slots=True)
class Head:
    """The format of a head's output.

    ``kind``: its ultralytics class, one of OBB, OBB26, Detect, v10Detect. ``reg_max``: numbers per
    side of a box, a distribution over distances (1: the distance itself). ``strides``: pixels per
    anchor of each level, smallest first.
    """

    kind: str
    classes: int
    reg_max: int
    strides: tuple[int, ...]

    @property
    def oriented(self) -> bool:
        """Whether boxes have an angle."""
        return self.kind.startswith("OBB")

    @property
    def rows(self) -> int:
        """Numbers per anchor: sides, a logit per class, and the angle in radians if oriented."""
        return _SIDES * self.reg_max + self.classes + int(self.oriented)

    def anchors(self, height: int, width: int) -> int:
        """Return the number of anchors for an input of this size."""
        return sum((height // stride) * (width // stride) for stride in self.strides)

    def decode(
        self, raw: Array, height: int, width: int, confidence: float, unwanted: Sequence[int] = ()
    ) -> Decoded:
        """Decode the output (rows, anchors) of one image of ``height`` x ``width`` pixels.

        Return a box for each anchor whose best class has a score of at least ``confidence``, in the
        anchors' order. Classes in ``unwanted`` are ignored.
        """
        logits = raw[_SIDES * self.reg_max :][: self.classes]
        if unwanted:
            logits = np.delete(logits, unwanted, axis=0)
        if not len(logits):
            none = np.zeros(0, np.float32)
            return Decoded(none.reshape(0, 5), none)
        scores = _sigmoid(logits.max(axis=0))
        chosen = np.flatnonzero(scores >= np.float32(confidence))
        points, strides = self._places(height, width, chosen)
        sides = self._distances(raw[: _SIDES * self.reg_max, chosen])
        angle = raw[-1, chosen] if self.oriented else np.zeros(len(chosen), np.float32)
        low, high = sides[:2], sides[2:]
        x, y = (high - low) / 2
        cos, sin = np.cos(angle), np.sin(angle)
        centre = points + np.stack((x * cos - y * sin, x * sin + y * cos))
        boxes = np.concatenate((centre * strides, (low + high) * strides, angle[None]))
        return Decoded(np.ascontiguousarray(boxes.T, np.float32), scores[chosen])

    def _places(self, height: int, width: int, chosen: NDArray[np.intp]) -> tuple[Array, Array]:
        """Return the anchors' x and y (2, K) in units of their strides (K,)."""
        points = np.empty((2, len(chosen)), np.float32)
        strides = np.empty(len(chosen), np.float32)
        first = 0
        for stride in self.strides:
            columns = width // stride
            end = first + (height // stride) * columns
            here = (chosen >= first) & (chosen < end)
            rows, places = np.divmod(chosen[here] - first, max(1, columns))
            points[0, here], points[1, here] = places, rows
            strides[here] = stride
            first = end
        return points + _ANCHOR_OFFSET, strides

    def _distances(self, raw: Array) -> Array:
        """Return distances (4, K) from anchors to left, top, right and bottom, in strides."""
        if self.reg_max == 1:
            return raw
        bins = raw.reshape(_SIDES, self.reg_max, -1)
        weights = np.exp(bins - bins.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        steps = np.arange(self.reg_max, dtype=np.float32)
        return np.asarray(np.einsum("b,sbk->sk", steps, weights), np.float32)


def chosen_classes(wanted: Sequence[str], names: Mapping[int, str]) -> list[int]:
    """Return the ids, ascending, of the classes that ``wanted`` lists by name or by id.

    Case does not matter. A text is an id only if it is no name. An empty list means all classes.

    Raises:
        ModelError: there is no such class; the message lists the existing ones.
    """
    if not wanted:
        return sorted(names)
    return sorted({index for text in wanted for index in _matching(text, names)})


def _matching(text: str, names: Mapping[int, str]) -> list[int]:
    matching = [index for index, name in names.items() if name.casefold() == text.casefold()]
    if not matching and text.isdecimal() and int(text) in names:
        matching = [int(text)]
    if not matching:
        known = ", ".join(f"{index} {name}" for index, name in sorted(names.items()))
        raise ModelError(f"the model has no class {text!r}, but: {known}")
    return matching


def _sigmoid(values: Array) -> Array:
    with np.errstate(over="ignore"):  # exp(-x) of a very low logit is inf, and the score 0
        return np.asarray(1 / (1 + np.exp(-values)), np.float32)
