"""All looks at an image, in the order in which its answers call for them.

Worker, evaluation and benchmark ask the detector through this module, so that they see alike.
"""

from collections.abc import Callable, Sequence
from functools import partial

from consumer.vision.downscale import downscale, wants_downscale
from consumer.vision.merge import by_turns, longest_side, plates_by_turns
from consumer.vision.obb import Detections
from consumer.vision.tiling import Tiling, views
from consumer.vision.turning import next_turn
from consumer.vision.view import Pixels, View, turned

Detect = Callable[[Pixels], list[Detections]]
"""A detector asked for a batch (1, h, w, 3)."""


def look(
    rgb: Pixels, imgsz: int, tiling: Tiling, detect: Detect
) -> tuple[list[View], list[Detections]]:
    """Return all views of an image and the answers to each, asked one after the other."""
    return answered(views(rgb, imgsz, tiling), detect)


def answered(views: Sequence[View], detect: Detect) -> tuple[list[View], list[Detections]]:
    """Return views and the further ones that their answers call for, with all answers."""
    seen = list(views)
    answers = [detect(view.pixels[None])[0] for view in seen]
    while make := further(seen, answers):
        fresh = make()
        answers += [detect(view.pixels[None])[0] for view in fresh]
        seen += fresh
    return seen, answers


def further(seen: list[View], answers: Sequence[Detections]) -> Callable[[], list[View]] | None:
    """Return what makes the views that the answers so far call for, None if they call for none.

    Making them takes the pixels of views out of ``seen`` that are not needed any more.
    """
    *_, (last, answers_to_last) = by_turns(seen, answers).values()
    if wants_downscale(last, answers_to_last):
        return lambda: [downscale(last)]
    turns = next_turn(plates_by_turns(seen, answers), longest_side(seen))
    return None if turns is None else partial(_turn, seen, turns)


def _turn(seen: list[View], turns: int) -> list[View]:
    """Return the first views of an image, turned."""
    for index, view in enumerate(seen):
        if view.turns:
            seen[index] = view.without_pixels()
    return [turned(view, turns) for view in seen if not view.turns and not view.downscales]
