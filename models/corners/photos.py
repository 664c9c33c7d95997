"""Places in the training photographs: labelled plates, candidates of the detector, backgrounds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from models.dataset import Item, Pixels, Quads, is_upright, read_image
from models.evaluation.metrics import area, overlap
from models.training.synthesis import upright

DEFAULT_CORNERS = Path(__file__).parent.parent / "corner_labels.json"
# In these sources (nearly) every plate that can be seen has a label.
_WELL_LABELLED = {"openimages", "ealpr", "chirag_poly", "npdetect_jp", "id_moto", "vn_moto"}
_TIGHT_ORIENTED = {
    "easypr": 1.0,
    "iwpod_ccpd": 1.0,
    "chirag_poly": 0.5,
    "uc3m_sample": 1.0,
    "id_moto": 0.5,
}
_SAME, _APART = 0.4, 0.02  # intersection over union
_MAX_SCORE = 0.5  # a candidate without a label, above it, may be a plate without one


@dataclass(frozen=True)
class Place:
    """A candidate in a photograph.

    ``quad`` (4, 2) px: clockwise from the top left of the text. ``plate``: whether it is one.
    ``exact``: weight of its corners in the loss, 0 to 1; 0 if ``quad`` is not the plate's outline.
    ``score``: the detector's, 1 for a label.
    """

    image: Path
    quad: Quads
    plate: bool
    exact: float = 0.0
    score: float = 1.0


@lru_cache(maxsize=6500)
def _encoded(path: Path) -> bytes:
    return path.read_bytes()


def photo(path: Path) -> Pixels:
    """Return an image as RGB (H, W, 3); its file is kept in memory."""
    data = np.frombuffer(_encoded(path), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def size_of(path: Path) -> Quads:
    """Return width and height of an image."""
    height, width = read_image(path).shape[:2]
    return np.array((width, height), np.float32)


def similar(first: Quads, second: Quads) -> float:
    """Return the intersection over union of two quads."""
    shared = overlap(first, second)
    return shared / max(1e-6, area(first) + area(second) - shared)


def labelled(items: Sequence[Item], corners: dict[str, dict[str, object]]) -> list[Place]:
    """Return the labelled plates; the corners of ``corner_labels.json`` replace their labels."""
    places = []
    for item in items:
        size = size_of(item.image) if len(item.quads) else np.ones(2, np.float32)
        closer = corners.get(item.image.stem, {})
        for line, label in enumerate(item.quads):
            known = closer.get(str(line))
            if isinstance(known, str):  # "none" or "unsure"
                if known == "unsure":
                    places.append(Place(item.image, upright(label * size), plate=True))
                continue
            if known is not None:
                quad = np.array(known, np.float32).reshape(4, 2) * size
                places.append(Place(item.image, quad, plate=True, exact=1.0))
                continue
            weight = 0.0
            if item.source in _TIGHT_ORIENTED and not is_upright(label):
                weight = _TIGHT_ORIENTED[item.source]
            places.append(Place(item.image, upright(label * size), plate=True, exact=weight))
    return places


def proposed(
    items: Sequence[Item], candidates: dict[str, list[list[float]]], places: Sequence[Place]
) -> list[Place]:
    """Return the detector's candidates: plates if a label says so, else none, if that is certain.

    ``candidates``: by image name, rows of a score and four corners in px.
    """
    by_image: dict[Path, list[Place]] = {}
    for place in places:
        by_image.setdefault(place.image, []).append(place)
    found = []
    for item in items:
        labels = by_image.get(item.image, [])
        for score, *numbers in candidates.get(item.image.stem, []):
            quad = np.array(numbers, np.float32).reshape(4, 2)
            shares = [similar(quad, label.quad) for label in labels]
            best = int(np.argmax(shares)) if shares else -1
            if best >= 0 and shares[best] >= _SAME:
                found.append(Place(item.image, quad, plate=True, score=score))
            elif not len(item.quads) or (
                item.source in _WELL_LABELLED and score < _MAX_SCORE and max(shares) < _APART
            ):
                found.append(Place(item.image, quad, plate=False, score=score))
    return found


def read_corners(path: Path) -> dict[str, dict[str, object]]:
    """Return ``corner_labels.json``: by image name and line of its label, corners or a word."""
    content: dict[str, dict[str, object]] = json.loads(path.read_text()) if path.is_file() else {}
    return content
