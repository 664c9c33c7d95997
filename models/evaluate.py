"""Evaluate a checkpoint on a YOLO-OBB folder, through the code that the worker runs.

    python -m models.evaluate DATASET --checkpoint FILE --out FOLDER

Prints and writes (``report.json``, ``plots.png``, ``misses.png``, ``false_covers.png``): recall at
90 % area cover by size, angle and source, false covers on images without plates, covered area
over plate area, angle error, time per image. The sheets show pictures of the dataset: keep the
folder out of the project.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from consumer.vision.codec import decode
from consumer.vision.detector import TorchDetector, load_detector
from consumer.vision.letterbox import letterbox, to_image
from models.dataset import Item, read_folder
from models.figures import write_plots, write_sheets
from models.scoring import Found, score, summarize

LOOSE_SOURCES = ("ealpr", "conz_old_c0", "npdetect_jp")
MAX_PIXELS = 200_000_000
LOWEST = 0.03
SHIPPED = Path(__file__).parent / "plate-obb.pt"


def detect(detector: TorchDetector, item: Item, imgsz: int) -> Found:
    """Return what the detector finds in an item's file, exactly as the worker would ask it."""
    data = item.image.read_bytes()
    started = time.perf_counter()
    rgb = decode(data, max_pixels=MAX_PIXELS).rgb
    boxed = letterbox(rgb, imgsz)
    answer = detector.detect(boxed.pixels[None])[0]
    quads = to_image(answer.quads, boxed)
    seconds = time.perf_counter() - started
    return Found(item, rgb.shape[1], rgb.shape[0], quads, answer.scores, seconds)


def detect_all(detector: TorchDetector, items: Sequence[Item], imgsz: int) -> list[Found]:
    """Return the detections of all items, telling the progress."""
    found = []
    for index, item in enumerate(items):
        found.append(detect(detector, item, imgsz))
        if (index + 1) % 200 == 0:
            print(f"{index + 1} of {len(items)} images", flush=True)
    return found


def sweep(
    found: Sequence[Found],
    confidences: Iterable[float],
    paddings: Iterable[float],
    loose: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the figures at every padding and confidence."""
    confidences = list(confidences)
    return [
        {
            "padding": padding,
            "confidence": confidence,
            **summarize(score(found, confidence, padding, loose)),
        }
        for padding in paddings
        for confidence in confidences
    ]


def _percent(group: dict[str, Any]) -> str:
    if not group["plates"]:
        return "-"
    return (
        f"{100 * group['recall']:5.1f} % ({100 * group['low']:.1f}-{100 * group['high']:.1f})"
        f" of {group['plates']:4}, by bounds {100 * group['hidden']:.1f} %"
    )


def show(summary: dict[str, Any]) -> None:
    """Print the figures of one result.

    "by bounds" compares upright labels with the covers' upright bounds: see ``Plate.hidden``.
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
    parser.add_argument("--imgsz", type=int, help="long side at the input; default: the file's")
    parser.add_argument("--confidence", type=float, default=0.25)
    parser.add_argument("--padding", type=float, default=0.1)
    parser.add_argument(
        "--confidences",
        type=float,
        nargs="*",
        help="of the sweep",
        default=[0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5],
    )
    parser.add_argument("--paddings", type=float, nargs="*", default=[0.05, 0.1, 0.15])
    parser.add_argument(
        "--loose",
        nargs="*",
        default=list(LOOSE_SOURCES),
        help="sources with loose labels: covered at 80 %% of the area",
    )
    parser.add_argument("--every", type=int, default=1, help="use every n-th image only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    if args.confidence < LOWEST or min(args.confidences, default=1.0) < LOWEST:
        parser.error(f"confidences start at {LOWEST}")
    return args


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    detector = load_detector(args.checkpoint, device=args.device, confidence=LOWEST, max_batch=1)
    items = read_folder(args.dataset, args.split)[:: args.every]
    found = detect_all(detector, items, args.imgsz or detector.imgsz)
    result = score(found, args.confidence, args.padding, args.loose)
    summary = summarize(result)
    summary["seconds_per_image"] = round(float(np.median([f.seconds for f in found])), 4)
    curve = sweep(found, args.confidences, args.paddings, args.loose)
    show(summary)
    print(f"time per image, median                      {summary['seconds_per_image']} s")
    show_sweep(curve)
    report = {
        "checkpoint": args.checkpoint.name,
        "digest": detector.digest,
        "images": len(items),
        "imgsz": args.imgsz or detector.imgsz,
        "confidence": args.confidence,
        "padding": args.padding,
        "summary": summary,
        "sweep": curve,
    }
    (args.out / "report.json").write_text(json.dumps(report, indent=1))
    write_plots(summary, curve, args.out / "plots.png")
    write_sheets(found, result, args.confidence, args.padding, args.out)


if __name__ == "__main__":
    main()
