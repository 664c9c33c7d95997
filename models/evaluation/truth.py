"""What is known about the plates of an image: labels, and exact corners of some of them.

A file of exact corners is ``{image: {line: mark}}``: the image's name without suffix, the line of
the plate in the label file from 0, and 8 normalised numbers (the corners as read: top left, top
right, bottom right, bottom left), ``"none"`` (no plate is there) or ``"unsure"`` (no edge can be
seen).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from consumer.vision.detect.obb import Detections
from models.dataset import Item, Quads
from models.evaluation.metrics import shrunk

NONE, UNSURE = "none", "unsure"
INNER = 0.7
"""An upright label counts by its inner part, of which each side is this share of the label's: at
the corners of an upright rectangle around a tilted plate there is no plate."""
INCOMPLETE = ("openlpr", "romania_dashcam", "easypr")
"""Sources in which visible plates have no labels."""

Mark = Quads | str
"""Exact corners (4, 2), normalised, or ``NONE`` or ``UNSURE``."""


@dataclass(frozen=True)
class Truth:
    """Exact corners, normalised, or verdicts, of some plates of an image, by their index."""

    item: Item
    marks: Mapping[int, Mark] = field(default_factory=dict)

    @property
    def is_negative(self) -> bool:
        """Whether the image has no plate: it has not even a label that a person rejected."""
        return not len(self.item.quads)

    @property
    def is_complete(self) -> bool:
        """Whether all visible plates of images of this source are labelled."""
        return self.item.source not in INCOMPLETE

    @property
    def has_corners(self) -> bool:
        """Whether exact corners of a plate are known."""
        return any(not isinstance(mark, str) for mark in self.marks.values())

    def verdicts(self, verdict: str) -> int:
        """Return how many plates have this verdict instead of corners."""
        return sum(isinstance(mark, str) and mark == verdict for mark in self.marks.values())

    def corners(self, width: int, height: int) -> dict[int, Quads]:
        """Return the exact corners in px, by the plate's index."""
        size = np.array([width, height], np.float32)
        return {i: m * size for i, m in self.marks.items() if not isinstance(m, str)}

    def labels(self, width: int, height: int) -> dict[int, Quads]:
        """Return the labels in px, by their index, without those that are no plates."""
        size = np.array([width, height], np.float32)
        scaled = self.item.quads * size
        return {i: quad for i, quad in enumerate(scaled) if not self._is_none(i)}

    def _is_none(self, index: int) -> bool:
        mark = self.marks.get(index)
        return isinstance(mark, str) and mark == NONE


@dataclass(frozen=True)
class Seen:
    """An image, what is known about it and its final plates, of the lowest confidence and more.

    ``plates``: in image pixels; not the covers, which are made of them. ``seconds``: it took.
    """

    truth: Truth
    width: int
    height: int
    plates: Detections
    seconds: float

    def from_confidence(self, confidence: float) -> Detections:
        """Return the plates with this score and more."""
        return self.plates[self.plates.scores >= confidence]


def measured_part(label: Quads, *, oriented: bool) -> Quads:
    """Return the part of a label (4, 2) that must be covered."""
    return label if oriented else shrunk(label, INNER)


def read_corners(path: Path) -> dict[str, dict[int, Mark]]:
    """Return the marks of a file of exact corners, by image and index of the plate.

    Raises:
        ValueError: a mark is neither 8 numbers nor a verdict, or the file is not JSON.
    """
    try:
        marks = json.loads(path.read_text(encoding="utf-8"))
        return {
            image: {int(line): _mark(value) for line, value in of_image.items()}
            for image, of_image in marks.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a file of exact corners: {error}") from error


def _mark(value: object) -> Mark:
    if isinstance(value, str) and value in {NONE, UNSURE}:
        return value
    if not isinstance(value, list) or len(value) != 8:
        raise ValueError(f'a mark is 8 numbers, "{NONE}" or "{UNSURE}", not {value!r:.60}')
    return np.array(value, np.float32).reshape(4, 2)


def with_marks(items: list[Item], marks: Mapping[str, Mapping[int, Mark]]) -> list[Truth]:
    """Return the items with what ``read_corners`` returned.

    Raises:
        ValueError: a mark belongs to no line of the image's label file.
    """
    truths = [Truth(item, marks.get(item.image.stem, {})) for item in items]
    for truth in truths:
        unknown = [i for i in truth.marks if not 0 <= i < len(truth.item.quads)]
        if unknown:
            raise ValueError(f"{truth.item.image.stem} has no label {unknown[0]}")
    return truths
