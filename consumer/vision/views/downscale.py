"""When an image needs a further view at half the scale.

A detector knows plates of the sizes that it was trained on. It finds one that fills half of the
image, but not its ends: measured, of plates over 96 pixels high in the detector's input only half
were covered to nine tenths, and nearly all of them at half the scale. An image without any certain
plate gets a second chance, too: of the undetected plates over 24 pixels, most were detected with
certainty at half the scale, for a quarter of the time of the first view.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.heads import Array
from consumer.vision.detect.obb import Detections
from consumer.vision.views.letterbox import resize
from consumer.vision.views.overlap import shared_area
from consumer.vision.views.tiling import on_grey
from consumer.vision.views.view import View, in_image, turned

TOO_NEAR = 64.0
"""Height of a plate, in pixels of the view, from which on its ends are uncertain."""
CERTAIN = 0.7
"""Score of a plate from which on its view is assumed to show all plates."""
SECOND_CHANCE = 0.5
"""Score from which on what only the second view shows counts."""
_SAME = 0.3  # two quads that share this part of the smaller one show the same object
_SEEN_BY_THE_WHOLE = 40.0  # pixels of the whole view: it shows every plate of this height
_SMALLEST_VIEW = 64  # pixels of the shorter side of a view


def too_near(quads: Array, view: View) -> NDArray[np.bool_]:
    """Return which of (N, 4, 2) quads, in a view's pixels, a view at a smaller scale shows better.

    What is higher than the view is excluded: none of its ends is in the image.
    """
    sides = np.linalg.norm(quads[:, [1, 3]] - quads[:, [0, 0]], axis=2).min(axis=1)
    return np.asarray((sides >= TOO_NEAR) & (sides < view.pixels.shape[0]), np.bool_)


def wants_downscale(views: Sequence[View], results: Sequence[Detections]) -> bool:
    """Return whether the image needs a view at half the smallest scale so far.

    ``views`` are all turned alike, as for the other functions of this module.
    """
    view, result = max(zip(views, results, strict=True), key=lambda both: both[0].downscales)
    if min(view.pixels.shape[:2]) // 2 < _SMALLEST_VIEW:
        return False
    return bool(too_near(result.quads, view).any()) or (
        not view.downscales and needs_second_chance(views, results)
    )


def needs_second_chance(views: Sequence[View], results: Sequence[Detections]) -> bool:
    """Return whether the first views, whole and closer, show no certain plate."""
    first = [i for i, view in enumerate(views) if not view.downscales]
    found_first = credible([views[i] for i in first], [results[i] for i in first])
    return not any((found.scores[likely] >= CERTAIN).any() for found, likely in found_first)


def credible(
    views: Sequence[View], results: Sequence[Detections]
) -> list[tuple[Detections, NDArray[np.bool_]]]:
    """Return each view's detections in image pixels, and which of them may be plates.

    What is large in the whole view, the first, but is detected only in closer views, is none.
    """
    mapped = [in_image(result, view) for view, result in zip(views, results, strict=True)]
    whole = views[0]
    shows_all = [i for i, view in enumerate(views) if view is whole or view.downscales]
    evidence = np.concatenate([mapped[i].quads for i in shows_all])
    return [
        (found, np.ones(len(found.quads), np.bool_) if i in shows_all
         else ~_imagined(found.quads, evidence, whole))
        for i, found in enumerate(mapped)
    ]  # fmt: skip


def about(quad: Array, others: Array) -> NDArray[np.bool_]:
    """Return which of ``others`` (N, 4, 2) show the same object as ``quad`` (4, 2)."""
    area = cv2.contourArea(quad)
    shared = [shared_area(quad, other) for other in others]
    least = [_SAME * min(area, cv2.contourArea(other)) for other in others]
    return np.array(shared, np.float32) > np.array(least, np.float32)


def _imagined(quads: Array, certain: Array, whole: View) -> NDArray[np.bool_]:
    """Return which of (N, 4, 2) quads are large in the whole view though it shows no plate there.

    Windows and panels that are much enlarged have a plate's shape, and nothing around them shows
    what they are. Both arguments are in image pixels.
    """
    sides = np.linalg.norm(quads[:, [1, 3]] - quads[:, [0, 0]], axis=2)
    imagined = np.asarray(sides.min(axis=1) * min(whole.scale) >= _SEEN_BY_THE_WHOLE, np.bool_)
    for index in np.flatnonzero(imagined):
        imagined[index] = not about(quads[index], certain).any()
    return imagined


def downscale(views: Sequence[View]) -> View:
    """Return the view from furthest away at half its scale."""
    furthest = max(views, key=lambda it: it.downscales)
    view = turned(furthest, -furthest.turns)
    height, width = view.pixels.shape[0] // 2, view.pixels.shape[1] // 2
    pixels, top, left = on_grey(resize(view.pixels, height, width))
    back = View(
        pixels,
        (view.scale[0] / 2, view.scale[1] / 2),
        (view.offset[0] / 2 + left, view.offset[1] / 2 + top),
        downscales=view.downscales + 1,
    )
    return turned(back, furthest.turns)
