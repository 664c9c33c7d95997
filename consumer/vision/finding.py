"""Find and cover the plates of one image: the only place that knows the order of all steps."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np

from consumer.vision.corners.refine import refine
from consumer.vision.cover.cover import Stub, cover, touches
from consumer.vision.cover.margins import cover_quads
from consumer.vision.detect.heads import Array
from consumer.vision.detect.obb import Detections, joined
from consumer.vision.image.decoder import MAX_SIDE, DecodedImage, decode, read_header
from consumer.vision.image.encoder import webp_encoder
from consumer.vision.image.scaling import Pyramid
from consumer.vision.image.webp_tuning import WebpMethod, highest_method, method_for
from consumer.vision.steps import NetworkInput, Pixels, Steps
from consumer.vision.views.merge import candidates, distinct, merged, unused_score
from consumer.vision.views.tiling import Tiling, half, view_bytes, views
from consumer.vision.views.turning import is_certain, next_turn
from consumer.vision.views.view import View, turned

CANDIDATE_SCORE = 0.1
"""Score of the detector from which on the second stage examines what it found."""


@dataclass(frozen=True, slots=True)
class FindOptions:
    """How plates are found: the detector's input size in pixels, further views, second stage."""

    imgsz: int
    tiling: Tiling
    corners: bool


@dataclass(frozen=True, slots=True)
class FoundPlates:
    """What may be a plate in an image, in its pixels, and the ``unused_score`` of turned views."""

    plates: Detections
    unused_score: float


@dataclass(frozen=True, slots=True)
class CoverOptions:
    """Options of ``cover_plates``.

    ``confidence``: score from which on a plate is covered. ``stub``: the image that is put on
    plates, None: a colour.
    """

    find: FindOptions
    confidence: float
    stub: Stub | None
    padding: float
    max_pixels: int
    webp_quality: int
    webp_method: WebpMethod


@dataclass(frozen=True, slots=True)
class CoveredImage:
    """A covered image as a WebP file, the plates and the covers (N, 4, 2) in its pixels.

    ``uncovered_score``: the highest score of what was not covered, 0 if there is nothing.
    """

    webp: bytes
    plates: Detections
    uncovered_score: float
    covers: Array
    input_sha256: str
    output_sha256: str


@dataclass(frozen=True, slots=True)
class CorrectedImage:
    """A result with further covers as a WebP file; empty if none of them lies in the image.

    ``outside``: positions of the corrections with a cover that does not touch the image; none of
    their covers were added.
    """

    webp: bytes
    width: int
    height: int
    outside: frozenset[int]
    output_sha256: str


def cover_plates(
    data: bytes,
    options: CoverOptions,
    *,
    has_backlog: Callable[[], bool] = lambda: False,
    stage: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> Steps[CoveredImage]:
    """Decode an image file, find its plates, cover them, and encode the result.

    It fails closed: there is a result only if the networks returned one for every input.

    Args:
        has_backlog: whether other images wait; then the encoder may save time.
        stage: entered around the stages "decode", "cover" and "encode", with their names.

    Raises:
        ImageError: the image cannot be processed, ever.
    """
    with stage("decode"):
        image = decode(data, max_pixels=options.max_pixels)
    found = yield from find_plates(image.rgb, options.find)
    with stage("cover"):
        plates, others = split(found.plates, options.confidence)
        covers = cover_quads(plates.quads, options.padding)
        cover(image.rgb, covers, stub=options.stub, alpha=image.alpha)
    with stage("encode"):
        encode = _encoder(image, options, backlog=has_backlog())
        del image  # the encoder has its own, smaller copy
        webp = encode()
        digests = hashlib.sha256(data).hexdigest(), hashlib.sha256(webp).hexdigest()
    uncovered = float(others.scores.max(initial=found.unused_score))
    return CoveredImage(webp, plates, uncovered, covers, *digests)


def add_covers(
    data: bytes,
    corrections: Sequence[Array],
    options: CoverOptions,
    *,
    has_backlog: Callable[[], bool] = lambda: False,
    stage: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> CorrectedImage:
    """Add the plates of corrections, each (N, 4, 2) convex and clockwise, to a result.

    A correction is made whole or not at all. Raises ImageError if the result cannot be decoded.
    """
    with stage("decode"):
        image = decode(data, max_pixels=_of_result(options).max_pixels)
    height, width = image.rgb.shape[:2]
    is_inside = [all(touches(quad, height, width) for quad in quads) for quads in corrections]
    outside = frozenset(n for n, inside in enumerate(is_inside) if not inside)
    inside = [quads for n, quads in enumerate(corrections) if n not in outside]
    if not inside:
        return CorrectedImage(b"", width, height, outside, "")
    with stage("cover"):
        covers = cover_quads(np.concatenate(inside), options.padding)
        cover(image.rgb, covers, stub=options.stub, alpha=image.alpha)
    with stage("encode"):
        encode = _encoder(image, options, backlog=has_backlog())
        del image
        webp = encode()
        digest = hashlib.sha256(webp).hexdigest()
    return CorrectedImage(webp, width, height, outside, digest)


def _of_result(options: CoverOptions) -> CoverOptions:
    """Return the options for a file that this service made, maybe under a higher limit."""
    return replace(options, max_pixels=MAX_SIDE * MAX_SIDE)


def _encoder(image: DecodedImage, options: CoverOptions, *, backlog: bool) -> Callable[[], bytes]:
    height, width = image.rgb.shape[:2]
    quality = options.webp_quality
    method = method_for(options.webp_method, height, width, quality=quality, backlog=backlog)
    return webp_encoder(image, quality=quality, method=method)


def bytes_to_add_covers(data: bytes, options: CoverOptions) -> int:
    """Return the memory that ``add_covers`` takes; raises as ``needed_bytes``."""
    header = read_header(
        data,
        max_pixels=_of_result(options).max_pixels,
        method=highest_method(options.webp_method),
    )
    return len(data) + header.decoded_bytes


def needed_bytes(data: bytes, options: CoverOptions) -> int:
    """Return the memory that ``cover_plates`` takes for an image file, by its header.

    Raises:
        ImageError: the header shows that the image cannot be processed.
    """
    header = read_header(
        data, max_pixels=options.max_pixels, method=highest_method(options.webp_method)
    )
    of_views = view_bytes(header.height, header.width, options.find.imgsz, options.find.tiling)
    return len(data) + header.decoded_bytes + of_views


def find_plates(rgb: Pixels, options: FindOptions) -> Steps[FoundPlates]:
    """Find what may be a plate in ``rgb`` (H, W, 3)."""
    image = Pyramid(rgb)
    seen = views(image, options.imgsz, options.tiling)
    plates = {0: (yield from _plates(image, seen, options))}
    if not is_certain(plates[0]):
        seen.append(half(seen[0]))
        further = yield from _plates(image, seen[-1:], options)
        plates[0] = distinct(joined([plates[0], further]))
    while (turns := next_turn(plates, max(rgb.shape[:2]))) is not None:
        plates[turns] = yield from _plates(image, seen, options, turns)
    return FoundPlates(merged(plates), unused_score(plates))


def _plates(
    image: Pyramid, views_: Sequence[View], options: FindOptions, turns: int = 0
) -> Steps[Detections]:
    """Return the plates that views turned clockwise by 90°, ``turns`` times, show."""
    found = yield from _candidates([turned(view, turns) for view in views_])
    return distinct((yield from refine(image, found)) if options.corners else found)


def _candidates(seen: Sequence[View]) -> Steps[Detections]:
    results = yield [NetworkInput("detector", view.pixels) for view in seen]
    return candidates(seen, results)


def split(found: Detections, confidence: float) -> tuple[Detections, Detections]:
    """Return the plates to cover, and the others."""
    covered = found.scores >= confidence
    return found[covered], found[~covered]
