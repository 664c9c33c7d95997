"""Plates and images with known corners, for tests of the evaluation."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from consumer.vision.detect.obb import Detections
from models.dataset import Item, Quads
from models.evaluation.truth import Mark, Seen, Truth

WIDTH, HEIGHT = 200, 100
UNIT = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)


def box(x: float, y: float, w: float, h: float, degrees: float = 0.0) -> Quads:
    """Return a rectangle around (x, y), turned clockwise."""
    turn = math.radians(degrees)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return ((UNIT - 0.5) * [w, h] @ matrix.T + [x, y]).astype(np.float32)


def normalised(quad: Quads) -> Quads:
    """Return a quad in parts of the image's sides."""
    return (quad / [WIDTH, HEIGHT]).astype(np.float32)


def seen(
    labels: Sequence[Quads],
    found: Mapping[float, Quads],
    marks: Mapping[int, Mark] | None = None,
    *,
    source: str = "a",
    oriented: bool = True,
) -> Seen:
    """Return an image with labelled plates, the found ones by their scores, and exact corners."""
    quads = np.array([normalised(q) for q in labels], np.float32).reshape(-1, 4, 2)
    exact = {
        i: mark if isinstance(mark, str) else normalised(mark) for i, mark in (marks or {}).items()
    }
    item = Item(Path(f"{source}_1.jpg"), quads, source, oriented=oriented)
    plates = Detections(
        np.array(list(found.values()), np.float32).reshape(-1, 4, 2),
        np.array(list(found), np.float32),
    )
    return Seen(Truth(item, exact), WIDTH, HEIGHT, plates, 0.01)
