"""Contact sheets: cut-outs of images with the outlines of plates and covers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from consumer.vision.cover.margins import cover_quads
from models.dataset import Pixels, Quads, read_image
from models.evaluation.calibration import is_right
from models.evaluation.scoring import PlateScore, Scores
from models.evaluation.truth import Seen

TILE, COLUMNS, LIMIT = 320, 6, 90
_GREEN, _RED, _YELLOW, _BLUE = (40, 220, 60), (230, 30, 30), (235, 205, 20), (80, 150, 255)
_CAPTION = 18


def write_sheets(
    seen: Sequence[Seen], scores: Scores, confidence: float, padding: float, folder: Path
) -> None:
    """Write ``misses.png``, ``loose.png``, ``false_covers.png`` and ``unlabelled.png``.

    Each shows at most LIMIT. Misses are plates that are not fully covered by exact corners, or not
    covered by labels, the largest first. Loose are the covers with the largest ratio to exact
    corners or oriented labels. Unlabelled are found plates that are no labelled ones, on images
    with plates: false covers too, or labels are missing.
    """

    def sheet(name: str, parts: Sequence[tuple[int, Quads, str]]) -> None:
        tiles = [
            tile(seen[image], quad, confidence, padding, caption) for image, quad, caption in parts
        ]
        contact_sheet(tiles, folder / name)

    sheet("misses.png", [_described(seen, plate) for plate in misses(scores)[:LIMIT]])
    sheet("loose.png", [_described(seen, plate) for plate in loose(scores)[:LIMIT]])
    sheet(
        "false_covers.png",
        [(image, quad, _name(seen[image])) for image, quad in scores.false_covers[:LIMIT]],
    )
    sheet(
        "unlabelled.png",
        [(image, quad, _name(seen[image])) for image, quad in unlabelled(seen, confidence)[:LIMIT]],
    )


def misses(scores: Scores) -> list[PlateScore]:
    """Return what is not covered, the largest plates first."""
    found = [p for p in scores.exact if not p.fully] + [p for p in scores.labelled if not p.covered]
    return sorted(found, key=lambda plate: -plate.height_px)


def loose(scores: Scores) -> list[PlateScore]:
    """Return the plates with a known ratio, the largest first; by exact corners if there are any.

    The ratio to a loose label is smaller than that to the plate.
    """
    plates = scores.exact or scores.labelled
    return sorted((p for p in plates if not math.isnan(p.ratio)), key=lambda plate: -plate.ratio)


def unlabelled(seen: Sequence[Seen], confidence: float) -> list[tuple[int, Quads]]:
    """Return the found plates (image, quad) that are no labelled ones, on images with plates."""
    return [
        (image, quad)
        for image, one in enumerate(seen)
        if one.truth.is_complete and not one.truth.is_negative
        for quad in one.from_confidence(confidence).quads
        if not is_right(quad, one)
    ]


def _name(one: Seen) -> str:
    return one.truth.item.image.stem


def _described(seen: Sequence[Seen], plate: PlateScore) -> tuple[int, Quads, str]:
    ratio = "" if math.isnan(plate.ratio) else f" x{plate.ratio:.2f}"
    caption = f"{_name(seen[plate.image])} {plate.height_px:.0f}px {plate.share:.0%}{ratio}"
    return plate.image, plate.quad, caption


def tile(one: Seen, quad: Quads, confidence: float, padding: float, caption: str) -> Pixels:
    """Return the surroundings of a quad (TILE, TILE, 3) with outlines and a caption.

    The quad is green unless it is a cover itself, on an image without plates; labels are blue.
    Covers from the confidence on are red, those below it are yellow, with their scores.
    """
    image = read_image(one.truth.item.image)
    centre = quad.mean(0)
    reach = max(16.0, float(np.ptp(quad, axis=0).max()))
    scale = TILE / (2 * reach)
    matrix = np.array([[1, 0, reach - centre[0]], [0, 1, reach - centre[1]]], np.float32) * scale
    view = np.asarray(cv2.warpAffine(image, matrix, (TILE, TILE), flags=cv2.INTER_CUBIC), np.uint8)
    covers = cover_quads(one.plates.quads, padding)
    for label in one.truth.labels(one.width, one.height).values():
        _drawn(view, label, matrix, _BLUE)
    for corners, score in sorted(zip(covers, one.plates.scores, strict=True), key=lambda p: p[1]):
        colour = _RED if score >= confidence else _YELLOW
        points = _drawn(view, corners, matrix, colour)
        if (points.min(axis=0) < TILE).all() and (points.max(axis=0) > 0).all():
            _write(view, f"{score:.2f}", points.min(axis=0), colour)
    if not one.truth.is_negative:
        _drawn(view, quad, matrix, _GREEN)
    cv2.rectangle(view, (0, TILE - _CAPTION), (TILE, TILE), (0, 0, 0), -1)
    _write(view, caption, np.array([3, TILE - 2]), (255, 255, 255))
    return view


def _drawn(view: Pixels, quad: Quads, matrix: Quads, colour: tuple[int, int, int]) -> Quads:
    points = (quad @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    fixed = np.rint(points * 16).astype(np.int32)
    cv2.polylines(view, [fixed], True, colour, 1, cv2.LINE_AA, 4)  # noqa: FBT003
    return points


def _write(view: Pixels, text: str, place: Quads, colour: tuple[int, int, int]) -> None:
    x, y = (int(v) for v in np.clip(place, (2, 12), (TILE - 30, TILE)))
    cv2.putText(view, text, (x, y - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)


def contact_sheet(tiles: Sequence[Pixels], path: Path) -> None:
    """Write tiles as one PNG; with none, a grey one."""
    blank = np.full((TILE, TILE, 3), 60, np.uint8)
    columns = max(1, min(COLUMNS, len(tiles)))
    padded = list(tiles) + [blank] * (-len(tiles) % columns if tiles else columns)
    rows = [np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)]
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
