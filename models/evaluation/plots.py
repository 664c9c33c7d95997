"""Plots of an evaluation, and contact sheets of missed plates and false covers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from consumer.vision.cover.margins import cover_quads
from models.dataset import Pixels, Quads, read_image
from models.evaluation.scoring import DetectedImage, Scores

TILE = 200


def tile(
    found: DetectedImage, quad: Quads, confidence: float, padding: float, caption: str
) -> Pixels:
    """Return the surroundings of a quad (TILE, TILE, 3) with label, covers and a caption.

    The quad is green, covers over the confidence are red, detections below it are yellow.
    """
    image = read_image(found.item.image)
    centre = quad.mean(0)
    reach = max(20.0, float(np.ptp(quad, axis=0).max()) * 1.1)
    matrix = np.array([[1, 0, reach - centre[0]], [0, 1, reach - centre[1]]]) * TILE / (2 * reach)
    view = np.asarray(cv2.warpAffine(image, matrix, (TILE, TILE)), np.uint8)
    outlines = [
        (corners, (230, 30, 30) if score >= confidence else (235, 205, 20))
        for corners, score in zip(
            cover_quads(found.detections, padding), found.detections.scores, strict=True
        )
    ]
    for corners, colour in [*outlines, (quad, (40, 220, 60))]:
        points = np.rint((corners @ matrix[:, :2].T + matrix[:, 2]) * 16).astype(np.int32)
        cv2.polylines(
            view, [points], isClosed=True, color=colour, thickness=1, lineType=cv2.LINE_AA, shift=4
        )
    cv2.rectangle(view, (0, TILE - 16), (TILE, TILE), (0, 0, 0), -1)
    cv2.putText(
        view,
        caption,
        (3, TILE - 4),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.36,
        (255, 255, 255),
        1,
        cv2.LINE_AA,
    )
    return view


def contact_sheet(tiles: Sequence[Pixels], path: Path, columns: int = 8) -> None:
    """Write tiles as one PNG; with none, a grey one."""
    blank = np.full((TILE, TILE, 3), 60, np.uint8)
    padded = list(tiles) + [blank] * (-len(tiles) % columns if tiles else columns)
    rows = [np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)]
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


def write_sheets(
    found: Sequence[DetectedImage],
    result: Scores,
    confidence: float,
    padding: float,
    folder: Path,
    limit: int = 160,
) -> None:
    """Write ``misses.png`` and ``false_covers.png``: at most ``limit`` of each, largest first."""
    misses = sorted((p for p in result.plates if not p.covered), key=lambda p: -p.height_px)
    contact_sheet(
        [
            tile(
                found[p.image],
                p.quad,
                confidence,
                padding,
                f"{p.source} {p.height_px:.0f}px {p.share:.0%}",
            )
            for p in misses[:limit]
        ],
        folder / "misses.png",
    )
    contact_sheet(
        [
            tile(found[image], quad, confidence, padding, found[image].item.image.stem)
            for image, quad in result.false_covers[:limit]
        ],
        folder / "false_covers.png",
    )


def _bars(axes: Any, groups: dict[str, Any], title: str) -> None:
    names = [f"{name}\n{g['covered']}/{g['plates']}" for name, g in groups.items()]
    shares: npt.NDArray[np.float64] = np.array([g["recall"] or 0 for g in groups.values()])
    low = np.array([g["low"] for g in groups.values()])
    high = np.array([g["high"] for g in groups.values()])
    spread = np.clip([shares - low, high - shares], 0, 1)
    axes.bar(range(len(names)), shares, yerr=spread, capsize=4, color="#4477aa")
    axes.set_xticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(0, 1.02)
    axes.set_title(title)


def write_plots(summary: dict[str, Any], curve: Sequence[dict[str, Any]], path: Path) -> None:
    """Write recall by size, angle and source with Wilson intervals, and the confidence curve."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9), layout="constrained")
    axes = figure.subplots(2, 2)
    _bars(axes[0, 0], summary["by_size"], "covered, by height of the plate")
    _bars(axes[0, 1], summary["by_angle"], "covered, by angle (oriented labels)")
    _bars(axes[1, 0], summary["by_source"], "covered, by source")
    axes[1, 0].tick_params(axis="x", labelrotation=30)
    last = axes[1, 1]
    for padding in sorted({c["padding"] for c in curve}):
        line = [c for c in curve if c["padding"] == padding]
        last.plot(
            [c["false_covers_per_100"] or 0 for c in line],
            [c["all"]["recall"] or 0 for c in line],
            marker="o",
            label=f"padding {padding}",
        )
        for c in line:
            last.annotate(
                f"{c['confidence']:g}",
                (c["false_covers_per_100"] or 0, c["all"]["recall"] or 0),
                fontsize=7,
            )
    last.set_xlabel("false covers per 100 images without plates")
    last.set_ylabel("covered")
    last.set_title("by confidence")
    last.legend()
    figure.savefig(path, dpi=90)
