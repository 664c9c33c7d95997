"""Find and cover the plates of one image: the only place that knows the order of all steps.

The steps are generators. They yield inputs of the detector and receive its results, so that the
worker, which batches the inputs of many images, and the benchmark and the evaluation, which run one
image at a time, share them.
"""

import hashlib
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from consumer.vision.cover.cover import Stub, cover
from consumer.vision.cover.margins import cover_quads
from consumer.vision.detect.heads import Array
from consumer.vision.detect.obb import Detections
from consumer.vision.image.decoder import decode, read_header
from consumer.vision.image.encoder import encode_webp
from consumer.vision.image.webp_tuning import WebpMethod, highest_method, method_for
from consumer.vision.views.downscale import downscale, wants_downscale
from consumer.vision.views.merge import (
    by_turns,
    longest_side,
    merge,
    plates_by_turns,
    uncovered_score,
)
from consumer.vision.views.tiling import Tiling, view_bytes, views
from consumer.vision.views.turning import next_turn
from consumer.vision.views.view import Pixels, View, turned

Detect = Callable[[Pixels], list[Detections]]
"""A detector's function for a batch (1, h, w, 3)."""

R = TypeVar("R")
Steps = Generator[list[Pixels], list[Detections], R]
"""Yields inputs of the detector, each (h, w, 3), and receives one ``Detections`` for each."""


@dataclass(frozen=True, slots=True)
class FoundPlates:
    """What the detector found in an image.

    ``plates``: in image pixels, the most certain first. ``uncovered_score``: see ``merge``.
    ``views``: all views that were used. ``results``: the detector's, one for each view.
    """

    plates: Detections
    uncovered_score: float
    views: list[View]
    results: list[Detections]


@dataclass(frozen=True, slots=True)
class CoverOptions:
    """Options of ``cover_plates``; ``stub`` is the image that is put on plates, None: a colour."""

    stub: Stub | None
    padding: float
    imgsz: int
    tiling: Tiling
    max_pixels: int
    webp_quality: int
    webp_method: WebpMethod


@dataclass(frozen=True, slots=True)
class CoveredImage:
    """A covered image as a WebP file, the plates and the covers (N, 4, 2) in its pixels."""

    webp: bytes
    plates: Detections
    uncovered_score: float
    covers: Array
    input_sha256: str
    output_sha256: str


def cover_plates(
    data: bytes,
    options: CoverOptions,
    *,
    has_backlog: Callable[[], bool] = lambda: False,
    stage: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> Steps[CoveredImage]:
    """Decode an image file, find its plates, cover them, and encode the result.

    It fails closed: there is a result only if the detector returned one for every view.

    Args:
        has_backlog: whether other images wait; then the encoder may save time.
        stage: entered around the stages "decode", "cover" and "encode", with their names.

    Raises:
        ImageError: the image cannot be processed, ever.
    """
    with stage("decode"):
        image = decode(data, max_pixels=options.max_pixels)
        first = views(image.rgb, options.imgsz, options.tiling)
    found = yield from find_plates(first)
    with stage("cover"):
        covers = cover_quads(found.plates, options.padding)
        cover(image.rgb, covers, stub=options.stub, alpha=image.alpha)
    with stage("encode"):
        height, width = image.rgb.shape[:2]
        quality = options.webp_quality
        method = method_for(
            options.webp_method, height, width, quality=quality, backlog=has_backlog()
        )
        webp = encode_webp(image, quality=quality, method=method)
        digests = hashlib.sha256(data).hexdigest(), hashlib.sha256(webp).hexdigest()
    return CoveredImage(webp, found.plates, found.uncovered_score, covers, *digests)


def needed_bytes(data: bytes, options: CoverOptions) -> int:
    """Return the memory that ``cover_plates`` takes for an image file, by its header.

    Raises:
        ImageError: the header shows that the image cannot be processed.
    """
    header = read_header(
        data, max_pixels=options.max_pixels, method=highest_method(options.webp_method)
    )
    of_views = view_bytes(header.height, header.width, options.imgsz, options.tiling)
    return len(data) + header.decoded_bytes + of_views


def find_plates(first: Sequence[View]) -> Steps[FoundPlates]:
    """Find plates in the first views of an image and in those that the results call for."""
    seen = list(first)
    results = yield [view.pixels for view in seen]
    while fresh := further_views(seen, results):
        results = results + (yield [view.pixels for view in fresh])
        seen += fresh
    return FoundPlates(merge(seen, results), uncovered_score(seen, results), seen, results)


def further_views(seen: list[View], results: Sequence[Detections]) -> list[View]:
    """Return the views that the results so far call for; none if nothing is missing.

    Drops the pixels of those views in ``seen`` that are not needed any more.
    """
    *_, (last, results_of_last) = by_turns(seen, results).values()
    if wants_downscale(last, results_of_last):
        return [downscale(last)]
    turns = next_turn(plates_by_turns(seen, results), longest_side(seen))
    if turns is None:
        return []
    for index, view in enumerate(seen):
        if view.turns:
            seen[index] = view.without_pixels()
    return [turned(view, turns) for view in seen if not view.turns and not view.downscales]


def advance(steps: Steps[R], results: list[Detections] | None = None) -> list[Pixels] | R:
    """Run to the next inputs of the detector, or to the end; return the inputs or the end's value.

    ``results``: of the inputs before, None at the start.
    """
    try:
        return next(steps) if results is None else steps.send(results)
    except StopIteration as end:
        value: R = end.value
        return value


def run_steps(steps: Steps[R], detect: Detect) -> R:
    """Run all steps, one input of the detector after the other; return their value."""
    step = advance(steps)
    while isinstance(step, list):
        step = advance(steps, [detect(pixels[None])[0] for pixels in step])
    return step
