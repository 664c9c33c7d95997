"""Merge the detections of an image's views into those of the image."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.heads import Array
from consumer.vision.detect.obb import Detections, joined, prob_iou
from consumer.vision.views.downscale import (
    CERTAIN,
    SECOND_CHANCE,
    about,
    credible,
    needs_second_chance,
    too_near,
)
from consumer.vision.views.overlap import shared_area, shared_part
from consumer.vision.views.turning import is_certain, next_turn
from consumer.vision.views.view import View, in_image

SAME_PLATE_IOU = 0.5
"""Overlap over which detections of two views are one plate."""
_INSIDE = 0.8  # a detection with this share of its area in another one adds nothing
_HIDDEN = 0.95  # with this share, the margin of the other one's cover hides the rest
_EDGE = 6.0  # pixels of the tile: what ends closer to a cut side may continue beyond it


def merge(views: Sequence[View], results: Sequence[Detections]) -> Detections:
    """Return the plates of an image in its pixels, the most certain first.

    ``results``: for each view its detections, in its pixels. A plate that several views show is
    returned once. The first view shows the whole image: what is large in it, but is detected only
    in closer views, is not a plate. A plate that is too near in one view is taken from a view that
    is further away, enlarged by what only the nearer view shows of it. What a tile's side may have
    cut off counts only if no view shows the whole plate: a part is better than nothing. What turned
    views show counts only if they show a certain plate.
    """
    if len(views) == 1:
        return in_image(results[0], views[0])
    plates = {turns: _plates(*both) for turns, both in by_turns(views, results).items()}
    called = _called_for({turns: found for turns, (found, _) in plates.items()}, views)
    counting = [plates[turns] for turns, found in called.items() if not turns or is_certain(found)]
    found = joined([found for found, _ in counting])
    kept = _distinct(found.quads, found.scores, np.concatenate([cut for _, cut in counting]))
    return found[_with_stored(found, kept, len(plates[0][0].scores))]


def _with_stored(found: Detections, kept: NDArray[np.intp], stored: int) -> NDArray[np.intp]:
    """Return the indexes ``kept`` and those of certain plates in the views that are not turned.

    These are the first ``stored`` ones. A turned view may show a plate with a higher score and yet
    less of it: then both are covered. What the others hide already is not added.
    """
    certain = np.setdiff1d(np.flatnonzero(found.scores[:stored] >= CERTAIN), kept)
    others = found.quads[kept]
    added = [i for i in certain if not _lies_inside(found.quads[i], others, _HIDDEN)]
    order = np.array([*kept, *added], np.intp)
    return order[np.argsort(-found.scores[order], kind="stable")]


def uncovered_score(views: Sequence[View], results: Sequence[Detections]) -> float:
    """Return the highest score of what only turned views show, if no view shows a certain plate.

    ``merge`` leaves that out, so a person should review the image. 0 if there is none.
    """
    called = _called_for(plates_by_turns(views, results), views)
    if any(is_certain(found) for found in called.values()):
        return 0.0
    scores = [score for turns, found in called.items() if turns for score in found.scores.tolist()]
    return max(scores, default=0.0)


ViewGroup = tuple[list[View], list[Detections]]


def by_turns(views: Sequence[View], results: Sequence[Detections]) -> dict[int, ViewGroup]:
    """Return the views with their results, grouped by the turns of the views."""
    groups: dict[int, ViewGroup] = {}
    for view, result in zip(views, results, strict=True):
        members, results_of = groups.setdefault(view.turns, ([], []))
        members.append(view)
        results_of.append(result)
    return groups


def plates_by_turns(views: Sequence[View], results: Sequence[Detections]) -> dict[int, Detections]:
    """Return for each group of views that are turned alike its plates, in image pixels."""
    return {turns: _plates(*both)[0] for turns, both in by_turns(views, results).items()}


def longest_side(views: Sequence[View]) -> float:
    """Return the long side of the image, in its pixels, with the padding of its first view."""
    height, width = views[0].pixels.shape[:2]
    return float(max(width / views[0].scale[0], height / views[0].scale[1]))


def _called_for(plates: dict[int, Detections], views: Sequence[View]) -> dict[int, Detections]:
    """Return the plates of those turns that the plates of the others call for.

    With a higher confidence these may be fewer than were used.
    """
    called = {0: plates[0]}
    while (turns := next_turn(called, longest_side(views))) in plates:
        called[turns] = plates[turns]
    return called


def _plates(
    views: Sequence[View], results: Sequence[Detections]
) -> tuple[Detections, NDArray[np.bool_]]:
    """Return what views that are turned alike show, in image pixels, and what may be cut off."""
    seen = []
    for view, result, (found, likely) in zip(views, results, credible(views, results), strict=True):
        cut, near = is_cut(result.quads, view), too_near(result.quads, view)
        seen.append(_Seen(view, found, cut, near))
        seen[-1].keep(likely)
    _take_from_further_away(seen, chance=needs_second_chance(views, results))
    found, cut = joined([one.found for one in seen]), np.concatenate([one.cut for one in seen])
    kept = _distinct(found.quads, found.scores, cut)
    return found[kept], cut[kept]


@dataclass(slots=True)
class _Seen:
    """A view's detections in image pixels, and which of them are cut off or too near in it."""

    view: View
    found: Detections
    cut: NDArray[np.bool_]
    near: NDArray[np.bool_]

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        self.found, self.cut, self.near = self.found[chosen], self.cut[chosen], self.near[chosen]


def _take_from_further_away(seen: Sequence[_Seen], *, chance: bool) -> None:
    """Replace what is too near in one view by what the views further away show of it.

    Those add nothing else, unless the image gets a second ``chance``: then they also replace what
    the whole view shows, which is too uncertain.
    """
    whole, *others = seen
    back = [whole, *(one for one in others if one.view.downscales)]
    for closer, one in pairwise(back):
        near = closer.found.quads[closer.near]
        wanted = np.array([about(quad, near).any() for quad in one.found.quads], np.bool_)
        if chance and one.view.downscales == 1:
            wanted |= one.found.scores >= SECOND_CHANCE
            closer.near[:] = True
        one.keep(wanted)
    tiles = [one for one in others if not one.view.downscales]
    for place, one in enumerate([*reversed(back), *tiles]):
        for further in back[::-1][:place]:
            one.keep(~_absorbed(one, further.found))


def _absorbed(one: _Seen, further: Detections) -> NDArray[np.bool_]:
    """Return which detections too near in one view others replace, and enlarge one of the others.

    A view further away may show a plate better and yet not all of it: its cover hides both. Only
    the detection that shares the largest area with it is enlarged.
    """
    gone = np.zeros(len(one.near), np.bool_)
    for index in np.flatnonzero(one.near):
        quad, score = one.found.quads[index], one.found.scores[index]
        same = np.flatnonzero(about(quad, further.quads))
        if not len(same):
            continue
        most = same[np.argmax([shared_area(quad, further.quads[other]) for other in same])]
        if not _lies_inside(quad, further.quads[[most]], _HIDDEN):
            further.quads[most] = _holding(further.quads[most], quad)
        further.scores[most] = max(further.scores[most], score)
        gone[index] = True
    return gone


def _holding(quad: Array, other: Array) -> Array:
    """Return the rectangle ``quad`` (4, 2), enlarged to hold ``other``."""
    origin, across, down = quad[0], quad[1] - quad[0], quad[3] - quad[0]
    sides = np.stack((across, down)).astype(np.float64)
    sides /= np.maximum((sides**2).sum(axis=1, keepdims=True), 1e-9)
    # Of ``quad`` its own corners lie at 0 and 1.
    x, y = sides @ (other - origin).T.astype(np.float64)
    left, right, top, bottom = min(0, x.min()), max(1, x.max()), min(0, y.min()), max(1, y.max())
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return np.array([origin + across * x + down * y for x, y in corners], np.float32)


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


def _distinct(quads: Array, scores: Array, cut: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the indexes of the quads to keep, best first, equal scores in input order.

    Greedy NMS in which whole plates come before those that may be cut, whatever their scores: a
    part with a high score must not displace the whole. A part displaces another part only if it
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


def _lies_inside(quad: Array, others: Array, share: float = _INSIDE) -> bool:
    """Return whether ``share`` of ``quad`` (4, 2) lies within one of ``others`` (N, 4, 2)."""
    low, high = quad.min(axis=0), quad.max(axis=0)
    near = (others.min(axis=1) < high).all(axis=1) & (others.max(axis=1) > low).all(axis=1)
    return any(shared_part(quad, other) >= share for other in others[near])


def _boxes(quads: Array) -> Array:
    """Return (N, 5) centre x, y, width, height and angle of rectangles given as (N, 4, 2)."""
    across, down = quads[:, 1] - quads[:, 0], quads[:, 3] - quads[:, 0]
    sides = np.stack((np.hypot(*across.T), np.hypot(*down.T)), -1)
    angle = np.arctan2(across[:, 1], across[:, 0])[:, None]
    return np.concatenate((quads.mean(axis=1), sides, angle), axis=1).astype(np.float32)
