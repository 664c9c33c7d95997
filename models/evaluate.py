"""Evaluate a checkpoint on a YOLO-OBB folder, through the code that the worker runs.

    python -m models.evaluate DATASET --checkpoint FILE --out FOLDER

Prints and writes (``report.json``, ``plots.png``, ``misses.png``, ``false_covers.png``): the share
of plates of whose area 90 % are covered, by size, angle and source; false covers on images without
plates; covered area over plate area; angle error; time per image. The sheets show images of the
dataset: keep the folder out of the project.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from consumer.vision.cover.margins import DEFAULT_PADDING
from consumer.vision.detect.backends.base import PRECISIONS
from consumer.vision.detect.detector import NetworkDetector, load_detector
from consumer.vision.detect.obb import Detections, joined
from consumer.vision.finding import find_plates, run_steps
from consumer.vision.image.decoder import decode
from consumer.vision.views.merge import merge
from consumer.vision.views.tiling import TILINGS, Tiling, views
from consumer.vision.views.view import View
from models.dataset import LOOSE_SOURCES, Item, read_folder
from models.evaluation.input_size import warn_of_other_size, worker_imgsz
from models.evaluation.plots import write_plots, write_sheets
from models.evaluation.scoring import DetectedImage, score, summarize

MAX_PIXELS = 200_000_000
LOWEST = 0.03
SHIPPED = Path(__file__).parent / "plate-obb.pt"


@dataclass(frozen=True)
class DetectedViews:
    """Detections of an image by view; the views' pixels are not kept.

    By view, since the merge of the views depends on the confidence.
    """

    item: Item
    width: int
    height: int
    views: list[View]
    detections: list[Detections]
    seconds: float

    def found(self, confidence: float) -> DetectedImage:
        """Return the image's detections as a detector with this confidence would."""
        certain = [found[found.scores >= confidence] for found in self.detections]
        return self._merged(merge(self.views, certain))

    def shown(self, confidence: float) -> DetectedImage:
        """Return ``found(confidence)`` and the detections with less confidence, for the sheets."""
        certain, all_ = self.found(confidence).detections, self.found(LOWEST).detections
        return self._merged(joined([certain, all_[all_.scores < confidence]]))

    def _merged(self, detections: Detections) -> DetectedImage:
        return DetectedImage(self.item, self.width, self.height, detections, self.seconds)


def detect(detector: NetworkDetector, item: Item, imgsz: int, tiling: Tiling) -> DetectedViews:
    """Return what the detector finds in an item's file, by the code that the worker runs."""
    data = item.image.read_bytes()
    started = time.perf_counter()
    rgb = decode(data, max_pixels=MAX_PIXELS).rgb
    found = run_steps(find_plates(views(rgb, imgsz, tiling)), detector.detect)
    seconds = time.perf_counter() - started
    bare = [view.without_pixels() for view in found.views]
    return DetectedViews(item, rgb.shape[1], rgb.shape[0], bare, found.results, seconds)


def detect_all(
    detector: NetworkDetector, items: Sequence[Item], imgsz: int, tiling: Tiling
) -> list[DetectedViews]:
    """Return the detections of all items, and print the progress."""
    seen = []
    for index, item in enumerate(items):
        seen.append(detect(detector, item, imgsz, tiling))
        if (index + 1) % 200 == 0:
            print(f"{index + 1} of {len(items)} images", flush=True)
    return seen


def sweep(
    seen: Sequence[DetectedViews],
    confidences: Iterable[float],
    paddings: Iterable[float],
    loose: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the summary at every padding and confidence."""
    found = {confidence: [one.found(confidence) for one in seen] for confidence in confidences}
    return [
        {
            "padding": padding,
            "confidence": confidence,
            **summarize(score(these, confidence, padding, loose)),
        }
        for padding in paddings
        for confidence, these in found.items()
    ]


def _percent(group: dict[str, Any]) -> str:
    if not group["plates"]:
        return "-"
    return (
        f"{100 * group['recall']:5.1f} % ({100 * group['low']:.1f}-{100 * group['high']:.1f})"
        f" of {group['plates']:4}, by bounds {100 * group['hidden']:.1f} %"
    )


def show(summary: dict[str, Any]) -> None:
    """Print a summary.

    "by bounds" compares upright labels with the covers' upright bounds: see ``PlateScore.hidden``.
    """
    print(f"\ncovered, all      {_percent(summary['all'])}")
    for title in ("by_size", "by_angle", "by_source"):
        for name, group in summary[title].items():
            print(f"{title[3:]:7} {name:20} {_percent(group)}")
    print(
        f"false covers per 100 images without plates  {summary['false_covers_per_100']}"
        f"  ({summary['false_covers']} on {summary['negatives']})"
    )
    print(
        f"covered area / plate area, median           {summary['area_ratio_oriented']} oriented,"
        f" {summary['area_ratio_upright']} upright labels"
    )
    print(
        f"angle error, median                         {summary['angle_error_oriented']}°,"
        f" of plates tilted by 3° or more {summary['angle_error_tilted']}°"
    )


def show_sweep(curve: Sequence[dict[str, Any]]) -> None:
    """Print one line per padding and confidence."""
    print("\npadding  conf   <12px   12-24   >=24    all    bounds  false/100  area  angle")
    for line in curve:
        sizes = "  ".join(
            "   - " if g["recall"] is None else f"{100 * g['recall']:5.1f}%"
            for g in line["by_size"].values()
        )
        print(
            f"{line['padding']:7.2f}  {line['confidence']:.2f}  {sizes}  "
            f"{100 * (line['all']['recall'] or 0):5.1f}%  "
            f"{100 * (line['all']['hidden'] or 0):5.1f}%  {line['false_covers_per_100']!s:>8}  "
            f"{line['area_ratio_oriented']}  {line['angle_error_oriented']}"
        )


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description="Evaluate a plate detector.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--checkpoint", type=Path, default=SHIPPED)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--imgsz", type=int, help="long side at the input; default: DETECT_IMGSZ")
    parser.add_argument("--tiling", choices=TILINGS, default="auto", help="as DETECT_TILING")
    parser.add_argument("--confidence", type=float, default=0.3)
    parser.add_argument("--padding", type=float, default=DEFAULT_PADDING)
    parser.add_argument(
        "--confidences",
        type=float,
        nargs="*",
        help="of the sweep",
        default=[0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5],
    )
    parser.add_argument("--paddings", type=float, nargs="*", default=[0.0, 0.01, 0.03, 0.06, 0.1])
    parser.add_argument(
        "--loose",
        nargs="*",
        default=list(LOOSE_SOURCES),
        help="sources with loose labels: covered at 80 %% of the area",
    )
    parser.add_argument("--every", type=int, default=1, help="use every n-th image only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    args = parser.parse_args(argv)
    if args.confidence < LOWEST or min(args.confidences, default=1.0) < LOWEST:
        parser.error(f"confidences start at {LOWEST}")
    try:
        args.imgsz = args.imgsz or worker_imgsz()
    except ValueError as error:
        parser.error(str(error))
    return args


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    args = parse(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    detector = load_detector(
        args.checkpoint,
        device=args.device,
        confidence=LOWEST,
        max_batch=1,
        precision=args.precision,
        threads=args.threads,
    )
    warn_of_other_size(args.checkpoint.name, detector.imgsz, args.imgsz)
    items = read_folder(args.dataset, args.split)[:: args.every]
    seen = detect_all(detector, items, args.imgsz, args.tiling)
    found = [one.found(args.confidence) for one in seen]
    result = score(found, args.confidence, args.padding, args.loose)
    summary = summarize(result)
    summary["seconds_per_image"] = round(float(np.median([f.seconds for f in found])), 4)
    curve = sweep(seen, args.confidences, args.paddings, args.loose)
    show(summary)
    print(f"time per image, median                      {summary['seconds_per_image']} s")
    show_sweep(curve)
    report = {
        "checkpoint": args.checkpoint.name,
        "digest": detector.digest,
        "images": len(items),
        "imgsz": args.imgsz,
        "tiling": args.tiling,
        "confidence": args.confidence,
        "padding": args.padding,
        "summary": summary,
        "sweep": curve,
    }
    (args.out / "report.json").write_text(json.dumps(report, indent=1))
    write_plots(summary, curve, args.out / "plots.png")
    shown = [one.shown(args.confidence) for one in seen]
    write_sheets(shown, result, args.confidence, args.padding, args.out)


if __name__ == "__main__":
    main()
