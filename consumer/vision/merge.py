"""From the detections of an image's views to those of the image."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from consumer.vision.downscale import (
    CERTAIN,
    SECOND_CHANCE,
    about,
    credible,
    needs_second_chance,
    too_near,
)
from consumer.vision.heads import Array
from consumer.vision.obb import Detections, joined, prob_iou
from consumer.vision.overlap import shared_area, shared_part
from consumer.vision.turning import is_certain, next_turn
from consumer.vision.view import View, in_image

SAME_PLATE_IOU = 0.5
"""Overlap over which detections of two views are one plate."""
_INSIDE = 0.8  # so much of a detection within another one: it adds nothing
_HIDDEN = 0.95  # so much of a detection within another one: the margin of its cover hides the rest
_EDGE = 6.0  # pixels of the tile: what ends closer than this to a cut side may go on beyond it


def merge(views: Sequence[View], answers: Sequence[Detections]) -> Detections:
    """Return the plates of an image in its pixels, the most certain first.

    ``answers``: for each view its detections, in its pixels. A plate seen in several views is
    reported once. The first view shows the whole image: what is large even there, but is only seen
    closer up, is no plate. A plate too near in one view is taken from one further away, enlarged by
    what only the nearer one shows of it. What a tile's side may have cut off counts as found only
    where no view shows the plate whole: then part of a plate is better than none of it. What the
    turned views show counts only where they show a certain plate.
    """
    if len(views) == 1:
        return in_image(answers[0], views[0])
    plates = {turns: _plates(*both) for turns, both in by_turns(views, answers).items()}
    called = _called_for({turns: found for turns, (found, _) in plates.items()}, views)
    counting = [plates[turns] for turns, found in called.items() if not turns or is_certain(found)]
    found = joined([found for found, _ in counting])
    kept = _distinct(found.quads, found.scores, np.concatenate([cut for _, cut in counting]))
    return found[_with_stored(found, kept, len(plates[0][0].scores))]


def _with_stored(found: Detections, kept: NDArray[np.intp], stored: int) -> NDArray[np.intp]:
    """Return the indexes ``kept`` and those of certain plates of the image as it is stored.

    These are the first ``stored`` ones: a turned look may see a plate with more confidence and yet
    less of it. Covers of both then hide it. What is hidden already is not added.
    """
    certain = np.setdiff1d(np.flatnonzero(found.scores[:stored] >= CERTAIN), kept)
    others = found.quads[kept]
    added = [i for i in certain if not _lies_inside(found.quads[i], others, _HIDDEN)]
    order = np.array([*kept, *added], np.intp)
    return order[np.argsort(-found.scores[order], kind="stable")]


def unsettled(views: Sequence[View], answers: Sequence[Detections]) -> float:
    """Return the highest score of what only turned views show, if no view shows a certain plate.

    ``merge`` leaves that out, so a person should look. 0 if there is nothing of the kind.
    """
    called = _called_for(plates_by_turns(views, answers), views)
    if any(is_certain(found) for found in called.values()):
        return 0.0
    scores = [score for turns, found in called.items() if turns for score in found.scores.tolist()]
    return max(scores, default=0.0)


Look = tuple[list[View], list[Detections]]


def by_turns(views: Sequence[View], answers: Sequence[Detections]) -> dict[int, Look]:
    """Return views that are turned alike together, with the answers to them."""
    looks: dict[int, Look] = {}
    for view, answer in zip(views, answers, strict=True):
        seen, answered = looks.setdefault(view.turns, ([], []))
        seen.append(view)
        answered.append(answer)
    return looks


def plates_by_turns(views: Sequence[View], answers: Sequence[Detections]) -> dict[int, Detections]:
    """Return what the views that are turned alike show by themselves, in image pixels."""
    return {turns: _plates(*both)[0] for turns, both in by_turns(views, answers).items()}


def longest_side(views: Sequence[View]) -> float:
    """Return the long side of the image, in its pixels, with the padding of its first view."""
    height, width = views[0].pixels.shape[:2]
    return float(max(width / views[0].scale[0], height / views[0].scale[1]))


def _called_for(plates: dict[int, Detections], views: Sequence[View]) -> dict[int, Detections]:
    """Return those looks that the others call for: of more confident answers perhaps fewer."""
    called = {0: plates[0]}
    while (turns := next_turn(called, longest_side(views))) in plates:
        called[turns] = plates[turns]
    return called


def _plates(
    views: Sequence[View], answers: Sequence[Detections]
) -> tuple[Detections, NDArray[np.bool_]]:
    """Return what views that are turned alike show, in image pixels, and what may be cut off."""
    seen = []
    for view, answer, (found, likely) in zip(views, answers, credible(views, answers), strict=True):
        cut, near = is_cut(answer.quads, view), too_near(answer.quads, view)
        seen.append(_Seen(view, found, cut, near))
        seen[-1].keep(likely)
    _take_from_further_away(seen, chance=needs_second_chance(views, answers))
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
    """Take what is too near in one view from those that are further away.

    These add nothing of their own, unless the image is given a second ``chance``: then what the
    whole view shows is too uncertain to stand against them, too.
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
    """Return which detections too near in one view others are about, and enlarge one of these.

    A plate may be seen better from further away and yet not all of it: its cover hides both. Only
    the one that shares most with it grows: a smaller find on the plate would take its place.
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
