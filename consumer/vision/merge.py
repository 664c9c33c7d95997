"""From the detections of an image's views to those of the image."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from consumer.vision.distance import SECOND_CHANCE, is_certain, too_near
from consumer.vision.heads import Array
from consumer.vision.obb import Detections, joined, prob_iou
from consumer.vision.tiling import View

SAME_PLATE_IOU = 0.5
"""Overlap over which detections of two views are one plate."""
_INSIDE = 0.8  # so much of a detection within another one: it adds nothing
_SAME = 0.3  # so much of the smaller one of two: they are about the same thing
_PART = 0.5  # of two about the same thing, one with less of the other's area shows a part of it
_SEEN_BY_THE_WHOLE = 32.0  # pixels of the whole view: a plate this high does not escape it
_EDGE = 6.0  # pixels of the tile: what ends closer than this to a cut side may go on beyond it


def merge(views: Sequence[View], answers: Sequence[Detections]) -> Detections:
    """Return the plates of an image in its pixels, the most certain first.

    ``answers``: for each view its detections, in its pixels. A plate seen in several views is
    reported once. The first view shows the whole image: what is large even there, but is only seen
    closer up, is no plate. A plate too near in one view is taken from one further away. What a
    tile's side may have cut off counts as found only where no view shows the plate whole: then
    part of a plate is better than none of it.
    """
    if len(views) == 1:
        return in_image(answers[0], views[0])
    seen = [_Seen.of(view, answer) for view, answer in zip(views, answers, strict=True)]
    looked = [one.found for one in seen if not one.view.steps_back]
    for closer in (one for one in seen[1:] if not one.view.steps_back):
        closer.keep(~_imagined(closer.found.quads, seen[0].found.quads, views[0]))
    _take_from_further_away(seen, chance=not any(is_certain(answer) for answer in looked))
    found, cut = joined([one.found for one in seen]), np.concatenate([one.cut for one in seen])
    return found[_distinct(found.quads, found.scores, cut)]


@dataclass(slots=True)
class _Seen:
    """A view's detections in image pixels, and which of them are cut off or too near in it."""

    view: View
    found: Detections
    cut: NDArray[np.bool_]
    near: NDArray[np.bool_]

    @classmethod
    def of(cls, view: View, answer: Detections) -> "_Seen":
        quads = answer.quads
        return cls(view, in_image(answer, view), is_cut(quads, view), too_near(quads, view))

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        self.found, self.cut, self.near = self.found[chosen], self.cut[chosen], self.near[chosen]


def _take_from_further_away(seen: Sequence[_Seen], *, chance: bool) -> None:
    """Take what is too near in one view from those that are further away.

    These add nothing of their own, unless the picture is given a second ``chance``.
    """
    back = [seen[0], *(one for one in seen if one.view.steps_back)]
    for closer, one in pairwise(back):
        wanted = _about(one.found.quads, closer.found.quads[closer.near])
        if chance and one.view.steps_back == 1:
            wanted |= one.found.scores >= SECOND_CHANCE
        one.keep(wanted)
    tiles = [one for one in seen[1:] if not one.view.steps_back]
    for place, one in enumerate([*reversed(back), *tiles]):
        for further in back[::-1][:place]:
            one.keep(~(one.near & _seen_better(one.found.quads, further.found.quads)))


def in_image(found: Detections, view: View) -> Detections:
    """Map detections in a view's pixels to image pixels."""
    offset, scale = np.array(view.offset, np.float32), np.array(view.scale, np.float32)
    return Detections((found.quads - offset) / scale, found.scores, found.spread / scale)


def is_cut(quads: Array, view: View) -> NDArray[np.bool_]:
    """Return which of (N, 4, 2) quads reach a side of the view beyond which the picture goes on."""
    height, width = view.pixels.shape[:2]
    low, high = quads.min(axis=1), quads.max(axis=1)
    left, top, right, bottom = view.cut
    reach = np.zeros(len(quads), np.bool_)
    reach |= left & (low[:, 0] < _EDGE)
    reach |= top & (low[:, 1] < _EDGE)
    reach |= right & (high[:, 0] > width - _EDGE)
    reach |= bottom & (high[:, 1] > height - _EDGE)
    return reach


def _imagined(quads: Array, certain: Array, whole: View) -> NDArray[np.bool_]:
    """Return which of (N, 4, 2) quads are large in the whole view though it shows no plate there.

    Much enlarged, windows and panels have a plate's shape and nothing around them that tells them
    apart. In both arguments coordinates are the image's.
    """
    sides = np.linalg.norm(quads[:, [1, 3]] - quads[:, [0, 0]], axis=2)
    large = sides.min(axis=1) * min(whole.scale) >= _SEEN_BY_THE_WHOLE
    return np.asarray(large & ~_about(quads, certain), np.bool_)


def _about(quads: Array, others: Array) -> NDArray[np.bool_]:
    """Return which of (N, 4, 2) quads are about the same thing as any of ``others``."""
    return np.array([any(_overlap(quad, other) for other in others) for quad in quads], np.bool_)


def _seen_better(quads: Array, further: Array) -> NDArray[np.bool_]:
    """Return which of (N, 4, 2) quads a view from ``further`` away shows, and not only in part."""

    def is_whole(quad: Array, other: Array) -> bool:
        return cv2.contourArea(other) >= _PART * cv2.contourArea(quad)

    return np.array(
        [
            any(is_whole(quad, other) and _overlap(quad, other) for other in further)
            for quad in quads
        ],
        np.bool_,
    )


def _overlap(quad: Array, other: Array) -> bool:
    shared = cv2.intersectConvexConvex(quad, other)[0]
    return bool(shared > _SAME * min(cv2.contourArea(quad), cv2.contourArea(other)))


def _distinct(quads: Array, scores: Array, cut: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the indexes of the quads to keep, best first, equal scores in input order.

    Greedy NMS in which whole plates come before those that may be cut, whatever their scores: a
    part seen clearly must not displace the whole. Nor does a part displace another, unless it
    holds it: together they may hide a plate that neither holds.
    """
    boxes = _boxes(quads)
    kept: list[int] = []
    for index in np.lexsort((-scores, cut)):
        others = np.array(kept, np.intp)
        same = prob_iou(boxes[index], boxes[others]) > SAME_PLATE_IOU
        if not (same & ~cut[others]).any() and not _lies_inside(quads[index], quads[others]):
            kept.append(int(index))
    order = np.array(kept, np.intp)
    return order[np.argsort(-scores[order], kind="stable")]


def _lies_inside(quad: Array, others: Array) -> bool:
    """Return whether nearly all of ``quad`` (4, 2) lies within one of ``others`` (N, 4, 2)."""
    low, high = quad.min(axis=0), quad.max(axis=0)
    near = (others.min(axis=1) < high).all(axis=1) & (others.max(axis=1) > low).all(axis=1)
    needed = _INSIDE * cv2.contourArea(quad)
    return any(cv2.intersectConvexConvex(quad, other)[0] >= needed for other in others[near])


def _boxes(quads: Array) -> Array:
    """Return (N, 5) centre x, y, width, height and angle of rectangles given as (N, 4, 2)."""
    across, down = quads[:, 1] - quads[:, 0], quads[:, 3] - quads[:, 0]
    sides = np.stack((np.hypot(*across.T), np.hypot(*down.T)), -1)
    angle = np.arctan2(across[:, 1], across[:, 0])[:, None]
    return np.concatenate((quads.mean(axis=1), sides, angle), axis=1).astype(np.float32)
