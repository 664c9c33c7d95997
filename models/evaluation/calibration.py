"""Whether scores mean what they say: of the plates with score 0.8, four fifths should be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from consumer.vision.views.overlap import shared_part
from models.dataset import Quads
from models.evaluation.metrics import bounds, iou, wilson
from models.evaluation.truth import UNSURE, Seen

RIGHT_IOU = 0.3
_OVER = 0.5  # part of a plate that must lie over a label whose edges nobody can see
BINS = 10


@dataclass(frozen=True)
class Judged:
    """The score of a found plate, and whether it is one."""

    score: float
    right: bool


def judged(seen: Sequence[Seen]) -> list[Judged]:
    """Return all found plates, but for images on which plates may have no label."""
    return [
        Judged(float(score), is_right(quad, one))
        for one in seen
        if one.truth.is_complete
        for quad, score in zip(one.plates.quads, one.plates.scores, strict=True)
    ]


def is_right(found: Quads, one: Seen) -> bool:
    """Return whether a found plate overlaps a labelled one.

    A tilted plate overlaps little of an upright label, so its upright bounds count too.
    """
    labels = one.truth.labels(one.width, one.height)
    known = [*labels.values(), *one.truth.corners(one.width, one.height).values()]
    if any(iou(found, quad) > RIGHT_IOU for quad in known):
        return True
    if not one.truth.item.oriented:
        box = bounds(found)
        if any(iou(box, quad) > RIGHT_IOU for quad in labels.values()):
            return True
    unsure = [quad for i, quad in labels.items() if _is_unsure(one, i)]
    return any(shared_part(found, quad) >= _OVER for quad in unsure)


def _is_unsure(one: Seen, index: int) -> bool:
    mark = one.truth.marks.get(index)
    return isinstance(mark, str) and mark == UNSURE


def reliability(plates: Sequence[Judged]) -> dict[str, Any]:
    """Return the share of right plates by bins of the score, and the expected calibration error.

    The error is the mean over all plates of the distance between the mean score and the share of
    right ones in the plate's bin; None without plates.
    """
    bins, error = [], 0.0
    places = [min(int(p.score * BINS), BINS - 1) for p in plates]
    for place in range(BINS):
        members = [p for p, at in zip(plates, places, strict=True) if at == place]
        if not members:
            continue
        right = sum(p.right for p in members)
        share, mean = right / len(members), float(np.mean([p.score for p in members]))
        low, high = wilson(right, len(members))
        error += len(members) / len(plates) * abs(share - mean)
        bins.append(
            {
                "from": place / BINS,
                "to": (place + 1) / BINS,
                "plates": len(members),
                "right": right,
                "score": round(mean, 4),
                "share": round(share, 4),
                "low": round(low, 4),
                "high": round(high, 4),
            }
        )
    return {"bins": bins, "error": round(error, 4) if plates else None, "plates": len(plates)}
