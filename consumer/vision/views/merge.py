"""Merge what the views of an image show."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.heads import Array
from consumer.vision.detect.obb import Detections, joined, prob_iou
from consumer.vision.views.overlap import shared_area, shared_part
from consumer.vision.views.turning import is_certain
from consumer.vision.views.view import View, in_image

SAME_CANDIDATE_IOU = 0.5
"""Probabilistic overlap over which detections of two views are one candidate."""
_SAME_PLATE_IOU = 0.4
_INSIDE = 0.8  # a plate with this share of its area in a better one adds nothing
_EDGE = 6.0  # pixels of the tile: what ends closer to a cut side may continue beyond it


def candidates(views: Sequence[View], results: Sequence[Detections]) -> Detections:
    """Return the candidates of an image in its pixels, the best first, each one once.

    ``results``: for each view its detections, in its pixels. What a tile's side may have cut off
    comes last, whatever its score: a part must not displace the whole.
    """
    found = joined([in_image(result, view) for view, result in zip(views, results, strict=True)])
    cut = np.concatenate(
        [is_cut(result.quads, view) for view, result in zip(views, results, strict=True)]
    )
    boxes = _boxes(found.quads)
    kept: list[int] = []
    for index in np.lexsort((-found.scores, cut)):
        if not (prob_iou(boxes[index], boxes[kept]) > SAME_CANDIDATE_IOU).any():
            kept.append(int(index))
    return found[np.array(kept, np.intp)]


def distinct(found: Detections) -> Detections:
    """Return each plate once, the most certain first."""
    kept: list[int] = []
    for index in np.argsort(-found.scores, kind="stable"):
        quad = found.quads[index]
        if not any(_is_same(quad, found.quads[other]) for other in kept):
            kept.append(int(index))
    return found[np.array(kept, np.intp)]


def merged(plates: Mapping[int, Detections]) -> Detections:
    """Return the plates of an image from those that its views show, by the turns of the views.

    What turned views show counts only if they show a certain plate: an image without plates would
    get covers.
    """
    return distinct(
        joined([found for turns, found in plates.items() if not turns or is_certain(found)])
    )


def unused_score(plates: Mapping[int, Detections]) -> float:
    """Return the highest score that turned views show, if no view shows a certain plate, else 0.

    ``merged`` leaves that out, so a person should review the image.
    """
    if any(is_certain(found) for found in plates.values()):
        return 0.0
    scores = [found.scores.max(initial=0) for turns, found in plates.items() if turns]
    return float(max(scores, default=0.0))


def _is_same(quad: Array, better: Array) -> bool:
    """Return whether a cover of ``better`` (4, 2) hides a plate at ``quad`` too."""
    low, high = quad.min(axis=0), quad.max(axis=0)
    if (better.min(axis=0) >= high).any() or (better.max(axis=0) <= low).any():
        return False
    if shared_part(quad, better) >= _INSIDE:
        return True
    shared = shared_area(quad, better)
    return shared > _SAME_PLATE_IOU * (_area(quad) + _area(better) - shared)


def is_cut(quads: Array, view: View) -> NDArray[np.bool_]:
    """Return which of (N, 4, 2) quads reach a side of the view beyond which the image goes on."""
    height, width = view.pixels.shape[:2]
    low, high = quads.min(axis=1), quads.max(axis=1)
    left, top, right, bottom = view.cut
    reach = np.zeros(len(quads), np.bool_)
    reach |= left & (low[:, 0] < _EDGE)
    reach |= top & (low[:, 1] < _EDGE)
    reach |= right & (high[:, 0] > width - _EDGE)
    reach |= bottom & (high[:, 1] > height - _EDGE)
    return reach


def _area(quad: Array) -> float:
    x, y = quad.T.astype(np.float64)
    return float(abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2)


def _boxes(quads: Array) -> Array:
    """Return (N, 5) centre x, y, width, height and angle of rectangles given as (N, 4, 2)."""
    across, down = quads[:, 1] - quads[:, 0], quads[:, 3] - quads[:, 0]
    sides = np.stack((np.hypot(*across.T), np.hypot(*down.T)), -1)
    angle = np.arctan2(across[:, 1], across[:, 0])[:, None]
    return np.concatenate((quads.mean(axis=1), sides, angle), axis=1).astype(np.float32)
