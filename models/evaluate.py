"""Evaluate a detector on a YOLO-OBB folder, through the code that the worker runs.

    python -m models.evaluate DATASET --checkpoint FILE --out FOLDER

Each image is examined once, at the lowest confidence; the figures at others are those of the plates
that remain. Prints tables, and writes ``report.json``, ``plots.png`` and the contact sheets
``misses.png``, ``loose.png``, ``false_covers.png`` and ``unlabelled.png``. The sheets show images
of the dataset: keep the folder out of the project.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from consumer.vision.cover.margins import DEFAULT_PADDING
from consumer.vision.detect.backends.base import PRECISIONS
from consumer.vision.detect.obb import Detections
from consumer.vision.finding import CANDIDATE_SCORE, FindOptions, find_plates
from consumer.vision.image.decoder import Pixels, decode
from consumer.vision.networks import load_networks
from consumer.vision.steps import run_steps
from consumer.vision.views.tiling import TILINGS
from models.dataset import read_folder
from models.evaluation.calibration import judged, reliability
from models.evaluation.input_size import warn_of_other_size, worker_imgsz
from models.evaluation.plots import write_plots
from models.evaluation.scoring import score
from models.evaluation.sheets import write_sheets
from models.evaluation.summary import coverage, false_covers, summarize
from models.evaluation.tables import report_text, write_card
from models.evaluation.truth import Seen, Truth, read_corners, with_marks

MAX_PIXELS = 200_000_000
LOWEST = 0.05
"""The confidence at which images are examined."""
SHIPPED = Path(__file__).parent / "plate-obb.pt"
SECOND_STAGE = Path(__file__).parent / "plate-corners.xml"
ONLY = ("exact", "plates", "negatives")


Find = Callable[[Pixels], Detections]
"""Returns the plates of an image (H, W, 3), in its pixels, from the confidence ``LOWEST`` on."""


def load_finder(args: argparse.Namespace) -> tuple[Find, str]:
    """Return what finds plates as the worker does, and the digest of its networks.

    Here alone the evaluation meets the networks.
    """
    networks = load_networks(
        args.checkpoint, None if args.second_stage == "none" else Path(args.second_stage),
        device=args.device, confidence=CANDIDATE_SCORE, max_batch=16, precision=args.precision,
        threads=args.threads,
    )  # fmt: skip
    warn_of_other_size(args.checkpoint.name, networks.detector.imgsz, args.imgsz)
    options = FindOptions(args.imgsz, args.tiling, corners=networks.corners is not None)

    def find(rgb: Pixels) -> Detections:
        return run_steps(find_plates(rgb, options), networks.run).plates

    return find, networks.digest


def examine(find: Find, truth: Truth) -> Seen:
    """Return the plates that are found in an image file."""
    data = truth.item.image.read_bytes()
    started = time.perf_counter()
    rgb = decode(data, max_pixels=MAX_PIXELS).rgb
    plates = find(rgb)
    seconds = time.perf_counter() - started
    return Seen(truth, rgb.shape[1], rgb.shape[0], plates, seconds)


def examine_all(find: Find, truths: Sequence[Truth]) -> list[Seen]:
    """Examine all images, and print the progress."""
    seen = []
    for index, truth in enumerate(truths):
        seen.append(examine(find, truth))
        if (index + 1) % 100 == 0:
            print(f"{index + 1} of {len(truths)} images", flush=True)
    return seen


def sweep(seen: Sequence[Seen], settings: Iterable[tuple[float, float]]) -> list[dict[str, Any]]:
    """Return the main figures at each confidence and padding."""
    lines = []
    for confidence, padding in settings:
        scores = score(seen, confidence, padding)
        lines.append(
            {
                "confidence": confidence,
                "padding": padding,
                "exact": coverage(scores.exact),
                "labelled": coverage(scores.labelled),
                "false_covers": false_covers(scores)[0],
            }
        )
    return lines


def wanted(truth: Truth, only: str | None) -> bool:
    """Return whether ``--only`` leaves an image in."""
    if only == "exact":
        return truth.has_corners
    return only is None or truth.is_negative == (only == "negatives")


def chosen(args: argparse.Namespace) -> list[Truth]:
    """Return the images to examine and what is known about them.

    Raises:
        ValueError: no image is left, or the file of exact corners does not fit.
        FileNotFoundError: there are no images, or no file of exact corners where one is named.
    """
    path = args.corners or args.dataset / f"corners_{args.split}.json"
    marks = read_corners(path) if args.corners or path.is_file() else {}
    truths = with_marks(read_folder(args.dataset, args.split), marks)
    truths = [truth for truth in truths if wanted(truth, args.only)]
    if not truths:
        raise ValueError(f"{args.dataset}: --only {args.only} leaves no image")
    return truths[:: args.every]


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description="Evaluate a plate detector.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--checkpoint", type=Path, default=SHIPPED)
    parser.add_argument(
        "--second-stage", default=str(SECOND_STAGE), help="as CORNERS_MODEL_PATH; none: without"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument(
        "--corners", type=Path, help="exact corners; default: DATASET/corners_SPLIT.json"
    )
    parser.add_argument("--card", type=Path, help="write the tables into this model card")
    parser.add_argument("--only", choices=ONLY, help="with exact corners, with or without plates")
    parser.add_argument("--every", type=int, default=1, help="use every n-th of these images only")
    parser.add_argument("--imgsz", type=int, help="long side at the input; default: DETECT_IMGSZ")
    parser.add_argument("--tiling", choices=TILINGS, default="auto", help="as DETECT_TILING")
    parser.add_argument("--confidence", type=float, default=0.3)
    parser.add_argument("--padding", type=float, default=DEFAULT_PADDING)
    parser.add_argument(
        "--confidences",
        type=float,
        nargs="*",
        help="of the table by confidence",
        default=[0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    )
    parser.add_argument(
        "--paddings",
        type=float,
        nargs="*",
        help="of the table by padding",
        default=[0.0, 0.01, 0.03, 0.06, 0.1],
    )
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: all")
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


def measure(seen: Sequence[Seen], digest: str, args: argparse.Namespace) -> None:
    """Print the tables, and write all files."""
    scores = score(seen, args.confidence, args.padding)
    report = {
        "checkpoint": args.checkpoint.name,
        "digest": digest,
        "images": len(seen),
        "imgsz": args.imgsz,
        "tiling": args.tiling,
        "device": args.device,
        "confidence": args.confidence,
        "padding": args.padding,
        "summary": summarize(seen, scores),
        "calibration": reliability(judged(seen)),
        "by_confidence": sweep(seen, [(c, args.padding) for c in args.confidences]),
        "by_padding": sweep(seen, [(args.confidence, p) for p in args.paddings]),
    }
    text = report_text(report)
    print(text)
    (args.out / "report.json").write_text(json.dumps(report, indent=1))
    write_plots(report, scores.exact, args.out / "plots.png")
    write_sheets(seen, scores, args.confidence, args.padding, args.out)
    if args.card:
        write_card(args.card, text)


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    args = parse(argv)
    try:
        truths = chosen(args)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    args.out.mkdir(parents=True, exist_ok=True)
    find, digest = load_finder(args)
    measure(examine_all(find, truths), digest, args)


if __name__ == "__main__":
    main()
