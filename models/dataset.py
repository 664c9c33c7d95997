"""YOLO-OBB folders: ``images/<split>`` and ``labels/<split>``, one label file per image.

A label line is ``0 x1 y1 x2 y2 x3 y3 x4 y4``, normalised; an empty file is an image without plates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Quads = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

DEFAULT_FIXES = Path(__file__).parent / "label_fixes.json"
LOOSE_SOURCES = ("ealpr", "conz_old_c0", "npdetect_jp")
"""Sources whose labels are larger than the plates."""
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Item:
    """One image and its plates.

    ``quads``: (N, 4, 2), normalised to the image. ``oriented``: whether the labels of this source
    have the angle of tilted plates; otherwise they are upright boxes. ``masks``: (M, 4, 2), places
    that may hold an unlabelled plate and are painted over.
    """

    image: Path
    quads: Quads
    source: str
    oriented: bool
    masks: Quads = field(default_factory=lambda: np.zeros((0, 4, 2), np.float32))


def read_label(path: Path) -> Quads:
    """Return the quads (N, 4, 2) of a label file, normalised. Raises ValueError: malformed."""
    rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    if any(len(row) != 9 for row in rows):
        raise ValueError(f"{path}: a label has 9 numbers: class and four corners")
    return np.array([row[1:] for row in rows], np.float32).reshape(-1, 4, 2)


def is_upright(quad: Quads, tolerance: float = 1e-3) -> bool:
    """Whether every side of a normalised quad (4, 2) is horizontal or vertical."""
    sides = np.abs(np.roll(quad, -1, axis=0) - quad)
    return bool((sides.min(axis=1) <= tolerance).all())


def source_of(image: Path) -> str:
    """Return the source of an image: its name up to the last underscore."""
    return image.stem.rpartition("_")[0] or image.stem


def read_folder(root: Path, split: str) -> list[Item]:
    """Return the items of a split in the order of their names.

    The source is the file name up to its last underscore.

    Raises:
        FileNotFoundError: there are no labelled images.
    """
    items = []
    for image in sorted((root / "images" / split).glob("*")):
        label = root / "labels" / split / f"{image.stem}.txt"
        if image.suffix.lower() in _SUFFIXES and label.is_file():
            items.append(Item(image, read_label(label), source_of(image), oriented=False))
    if not items:
        raise FileNotFoundError(f"{root}: no images with labels in split {split!r}")
    tilted = {item.source for item in items if any(not is_upright(q) for q in item.quads)}
    return [replace(item, oriented=item.source in tilted) for item in items]


def tighten(items: list[Item], factors: Mapping[str, float]) -> list[Item]:
    """Return items whose quads are scaled about their centres by the factor of their source."""

    def scaled(item: Item) -> Item:
        factor = factors.get(item.source, 1.0)
        centres = item.quads.mean(axis=1, keepdims=True)
        return replace(item, quads=(centres + (item.quads - centres) * factor).astype(np.float32))

    return [scaled(item) if item.source in factors and len(item.quads) else item for item in items]


def _add(quads: Quads, rows: list[list[float]]) -> Quads:
    return np.concatenate([quads, np.array(rows, np.float32).reshape(-1, 4, 2)])


def apply_fixes(items: list[Item], *paths: Path) -> list[Item]:
    """Return the items with the corrections of files like ``label_fixes.json``.

    ``tighten``: factors by source. ``drop``: images to leave out. ``add``: missing plates, and
    ``mask``: places that may be plates, both by image name as lists of 8 normalised numbers.
    """
    for path in paths:
        fixes: dict[str, Any] = json.loads(path.read_text())
        dropped = set(fixes.get("drop", []))
        items = [item for item in items if item.image.stem not in dropped]
        add, mask = fixes.get("add", {}), fixes.get("mask", {})
        items = [
            replace(
                item,
                quads=_add(item.quads, add.get(item.image.stem, [])),
                masks=_add(item.masks, mask.get(item.image.stem, [])),
            )
            for item in tighten(items, fixes.get("tighten", {}))
        ]
    return items


def load(item: Item) -> tuple[Pixels, Quads]:
    """Return the image of an item, its masks painted over, and its quads in px."""
    image = read_image(item.image)
    size = np.array([image.shape[1], image.shape[0]], np.float32)
    for mask in item.masks * size:
        hull = np.rint(mask.mean(0) + (mask - mask.mean(0)) * 1.2).astype(np.int32)
        x, y, w, h = cv2.boundingRect(hull)
        view = image[max(0, y) : y + h, max(0, x) : x + w]
        if view.size:
            cv2.fillConvexPoly(image, hull, view.mean(axis=(0, 1)).tolist())
    return image, item.quads * size


def read_image(path: Path) -> Pixels:
    """Return an image as RGB (H, W, 3). Raises ValueError if it cannot be read."""
    rgb = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if rgb is None:
        raise ValueError(f"{path}: not a readable image")
    return np.asarray(rgb, np.uint8)
