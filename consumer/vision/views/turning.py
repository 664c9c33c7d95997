"""When an image may lie on its side or upside down, so that it needs turned views.

Messengers, and cameras that are mounted on their side, leave photographs turned without a note in
the file. The detector knows plates that are more or less level and upright. Measured on validation
images turned by 90°, it detects two thirds of the plates, hardly any of them with certainty; of
upside-down plates it detects nine tenths, most with certainty. So an image without a certain plate
is turned once, which costs the first views a second time. Each further turn is for an image that
shows something already, but nothing with certainty: it may be upside down. Turned views count only
if they show a certain plate, or images without plates would get covers.
"""

from collections.abc import Mapping

import numpy as np

from consumer.vision.detect.obb import Detections

CERTAIN = 0.7
"""Score from which on a plate shows how the image lies."""
HINT = 0.3
"""Score from which on an uncertain detection is evidence of how the image lies."""
ON_END = 60.0
"""Degrees off the level from which on a plate stands on end."""
_LONG = 1.2  # times the short side: the angle of a plate that is more nearly square is unknown

Plates = Mapping[int, Detections]
"""The plates that views of the same turns show, in image pixels, by the turns of 90°."""


def next_turn(plates: Plates, longest: float) -> int | None:
    """Return the turns of the next views that the image needs, None if it needs no others.

    ``longest``: long side of the image in pixels.
    """
    if 1 not in plates:
        return None if _is_upright(plates[0], longest) else 1
    if any(is_certain(found) for turns, found in plates.items() if turns):
        return None
    for turns in (1, 0):
        found = plates[turns]
        if turns + 2 not in plates and (found.scores >= HINT).any() and not is_certain(found):
            return turns + 2
    return None


def is_certain(found: Detections) -> bool:
    """Return whether there is a certain plate."""
    return bool((found.scores >= CERTAIN).any())


def _is_upright(found: Detections, longest: float) -> bool:
    """Return whether there is a certain level plate, and none on end."""
    across, down = found.quads[:, 1] - found.quads[:, 0], found.quads[:, 3] - found.quads[:, 0]
    widths, heights = np.hypot(*across.T), np.hypot(*down.T)
    side = np.where((widths >= heights)[:, None], across, down)
    long, short = np.maximum(widths, heights), np.minimum(widths, heights)
    oblong = long >= _LONG * short
    steep = np.abs(side[:, 1]) >= np.sin(np.radians(ON_END)) * long
    whole = long >= longest  # it fills the image, however that lies
    on_end = oblong & steep & ~whole & (found.scores >= HINT)
    level = ((oblong & ~steep) | whole) & (found.scores >= CERTAIN)
    return bool(level.any() and not on_end.any())
