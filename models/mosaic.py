"""Make labelled images of 12 megapixels out of smaller ones, to evaluate tiling.

    python -m models.mosaic DATASET --out FOLDER --count 30 --seed 0

Each is a mosaic of a YOLO-OBB folder's images, with and without plates, at about their own size;
every fifth has no plates at all. FOLDER becomes a YOLO-OBB folder. File names begin with the kind
of the labels, ``street_upright``, ``street_oriented`` or ``street_negative``, which is the source
for evaluation. FOLDER has images of the dataset: keep it out of the project.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.dataset import (
    DEFAULT_FIXES,
    LOOSE_SOURCES,
    Item,
    Pixels,
    Quads,
    apply_fixes,
    load,
    read_folder,
)

WIDTH, HEIGHT = 4000, 3000
ROW_HEIGHTS = (240, 560)
SCALES = (0.5, 1.25)
_NEGATIVE_EVERY = 5
_SHARE_OF_NEGATIVES = 0.3
_QUALITY = 92


@dataclass(frozen=True)
class Mosaic:
    """An image (H, W, 3) RGB and its plates (N, 4, 2) in px."""

    rgb: Pixels
    quads: Quads


class Deck:
    """Items in random order; each is drawn once before any is drawn again."""

    def __init__(self, items: Sequence[Item], rng: np.random.Generator) -> None:
        self._items, self._rng = items, rng
        self._left: list[int] = []

    def draw(self) -> Item:
        """Return the next item."""
        if not self._left:
            self._left = self._rng.permutation(len(self._items)).tolist()
        return self._items[self._left.pop()]


def compose(
    rng: np.random.Generator, plates: Deck | None, negatives: Deck, width: int, height: int
) -> Mosaic:
    """Return a mosaic of images; without ``plates`` only of negatives."""
    rgb = np.zeros((height, width, 3), np.uint8)
    quads: list[Quads] = []
    top = 0
    while top < height:
        row = int(rng.integers(*ROW_HEIGHTS))
        row = row if height - top - row >= ROW_HEIGHTS[0] else height - top
        for left, image, labels in _row(rng, plates, negatives, row, width):
            rgb[top : top + row, left : left + image.shape[1]] = image
            quads.append(labels + np.array([left, top], np.float32))
        top += row
    return Mosaic(rgb, np.concatenate(quads).astype(np.float32))


def _row(
    rng: np.random.Generator, plates: Deck | None, negatives: Deck, height: int, width: int
) -> Iterator[tuple[int, Pixels, Quads]]:
    """Yield left edge, image and quads of the images of one row, side by side."""
    left = 0
    while left < width:
        labelled = plates is not None and rng.random() >= _SHARE_OF_NEGATIVES
        deck = plates if plates is not None and labelled else negatives
        image, quads = load(deck.draw())
        scale = height / len(image)
        size = max(1, round(image.shape[1] * scale)), height
        if labelled and not (SCALES[0] <= scale <= SCALES[1] and left + size[0] <= width):
            # Images with plates stay near their own size, and are not cut through a plate.
            image, quads = load(negatives.draw())
            size = max(1, round(image.shape[1] * height / len(image))), height
        shrinks = height < len(image)
        filter_ = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        factor = np.array(size, np.float32) / np.array(image.shape[1::-1], np.float32)
        scaled = np.asarray(cv2.resize(image, size, interpolation=filter_), np.uint8)
        yield left, scaled[:, : width - left], (quads * factor).astype(np.float32)
        left += size[0]


def kinds(items: Sequence[Item], left_out: Sequence[str]) -> dict[str, list[Item]]:
    """Return the items by kind of label: upright, oriented, negative."""
    groups: dict[str, list[Item]] = {"upright": [], "oriented": [], "negative": []}
    with_plates = {item.source for item in items if len(item.quads)}
    for item in items:
        if item.source not in with_plates:
            groups["negative"].append(item)
        elif len(item.quads) and item.source not in left_out:
            groups["oriented" if item.oriented else "upright"].append(item)
    return groups


def write(folder: Path, name: str, mosaic: Mosaic) -> None:
    """Write a mosaic and its label file into the split ``val`` of ``folder``."""
    height, width = mosaic.rgb.shape[:2]
    bgr = cv2.cvtColor(mosaic.rgb, cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    cv2.imwrite(str(folder / "images/val" / f"{name}.jpg"), bgr, options)
    rows = (mosaic.quads / np.array([width, height], np.float32)).reshape(-1, 8)
    lines = ["0 " + " ".join(f"{value:.6f}" for value in row) for row in rows]
    (folder / "labels/val" / f"{name}.txt").write_text("\n".join(lines))


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Make 12 MP images for evaluation.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, nargs=2, default=(WIDTH, HEIGHT), help="width height")
    parser.add_argument("--without", nargs="*", default=list(LOOSE_SOURCES), help="sources")
    args = parser.parse_args(argv)
    items = apply_fixes(read_folder(args.dataset, args.split), DEFAULT_FIXES)
    groups = kinds(items, args.without)
    if not groups["negative"] or not (groups["upright"] or groups["oriented"]):
        parser.error("the folder needs images with plates and sources without any")
    for part in ("images/val", "labels/val"):
        (args.out / part).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    decks = {kind: Deck(group, rng) for kind, group in groups.items() if group}
    labelled = [kind for kind in ("upright", "oriented") if kind in decks]
    plates = 0
    for index in range(args.count):
        negative = index % _NEGATIVE_EVERY == _NEGATIVE_EVERY - 1
        # Every fourth has oriented labels, of which there are fewer.
        kind = "negative" if negative else labelled[(index % 4 == 3) % len(labelled)]
        deck = None if negative else decks[kind]
        mosaic = compose(rng, deck, decks["negative"], *args.size)
        write(args.out, f"street_{kind}_{index:04}", mosaic)
        plates += len(mosaic.quads)
    print(f"{args.count} pictures with {plates} plates in {args.out}")


if __name__ == "__main__":
    main()
