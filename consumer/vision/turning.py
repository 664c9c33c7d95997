"""When a picture may lie on its side or upside down: it is looked at again, turned.

Messengers, and cameras that are mounted on their side, leave photographs turned and nothing in the
file that says so. The detector knows plates that are more or less level and upright. Measured on
validation images turned by 90°, it sees two thirds of the plates on end, hardly any of them for
certain; of upside-down ones it sees nine tenths, most for certain. So a picture in which nothing is
certain is turned once, which costs one more look. Each other turn is for a picture that shows
something already, but nothing for certain: that may be upside down. A turned look is believed only
where it shows a certain plate, or it would cover things on pictures without plates.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from consumer.vision.distance import CERTAIN
from consumer.vision.heads import Array
from consumer.vision.obb import Detections

HINT = 0.3
"""Score from which on a find that is not certain tells something of how the picture lies."""
ON_END = 60.0
"""Degrees off the level from which on a plate's long side counts as upright."""
_LONG = 1.3  # times the short side: of a squarer plate the angle tells nothing

Plates = Mapping[int, Detections]
"""What each look shows by itself, in image pixels, by its turns of 90°."""


def next_turn(plates: Plates, longest: float) -> int | None:
    """Return the turns of the next look that the picture needs, None if it needs no other.

    ``longest``: long side of the picture in pixels. What is longer is no plate on end.
    """
    if 1 not in plates:
        return None if is_certain(plates[0]) and not on_end(plates[0], longest).any() else 1
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


def on_end(found: Detections, longest: float) -> NDArray[np.bool_]:
    """Return which plates stand on end, as level ones do in a picture that lies on its side."""
    across, down = found.quads[:, 1] - found.quads[:, 0], found.quads[:, 3] - found.quads[:, 0]
    lengths = np.stack((_length(across), _length(down)))
    long, short = lengths.max(axis=0), lengths.min(axis=0)
    side = np.where((lengths[0] >= lengths[1])[:, None], across, down)
    steep = np.abs(side[:, 1]) >= np.sin(np.radians(ON_END)) * long
    return np.asarray(
        steep & (long >= _LONG * short) & (long <= longest) & (found.scores >= HINT), np.bool_
    )


def _length(sides: Array) -> Array:
    return np.asarray(np.hypot(sides[:, 0], sides[:, 1]), np.float32)
