"""When an image may lie on its side or upside down: it is looked at again, turned.

Messengers, and cameras that are mounted on their side, leave photographs turned and nothing in the
file that says so. The detector knows plates that are more or less level and upright. Measured on
validation images turned by 90°, it sees two thirds of the plates on end, hardly any of them for
certain; of upside-down ones it sees nine tenths, most for certain. So an image in which nothing is
certain is turned once, which costs one more look. Each other turn is for an image that shows
something already, but nothing for certain: that may be upside down. A turned look is believed only
where it shows a certain plate, or it would cover things on images without plates.
"""

from collections.abc import Mapping

import numpy as np

from consumer.vision.downscale import CERTAIN
from consumer.vision.obb import Detections

HINT = 0.3
"""Score from which on a find that is not certain tells something of how the image lies."""
ON_END = 60.0
"""Degrees off the level from which on a plate stands on end."""
_LONG = 1.2  # times the short side: of a plate that is more nearly square the angle tells nothing

Plates = Mapping[int, Detections]
"""What each look shows by itself, in image pixels, by its turns of 90°."""


def next_turn(plates: Plates, longest: float) -> int | None:
    """Return the turns of the next look that the image needs, None if it needs no other.

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
    """Return whether a look shows a plate for certain."""
    return bool((found.scores >= CERTAIN).any())


def _is_upright(found: Detections, longest: float) -> bool:
    """Return whether a look shows a level plate for certain, and none on end."""
    across, down = found.quads[:, 1] - found.quads[:, 0], found.quads[:, 3] - found.quads[:, 0]
    widths, heights = np.hypot(*across.T), np.hypot(*down.T)
    side = np.where((widths >= heights)[:, None], across, down)
    long, short = np.maximum(widths, heights), np.minimum(widths, heights)
    oblong = long >= _LONG * short
    steep = np.abs(side[:, 1]) >= np.sin(np.radians(ON_END)) * long
    whole = long >= longest  # it fills the picture, however that lies
    on_end = oblong & steep & ~whole & (found.scores >= HINT)
    level = ((oblong & ~steep) | whole) & (found.scores >= CERTAIN)
    return bool(level.any() and not on_end.any())
