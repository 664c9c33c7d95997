"""Drawn streets: reproducible, and plates are only where they are wanted."""

import numpy as np

from models.streets import SIDE, streets


def test_the_same_seed_draws_the_same_streets() -> None:
    first, again, other = (streets(seed, lookalikes=2, plates=3) for seed in (3, 3, 4))
    assert set(first) == {"street_plain", "street_lookalikes", "street_plates"}
    for source, scene in first.items():
        assert scene.rgb.shape == (SIDE, SIDE, 3)
        assert (scene.rgb == again[source].rgb).all()
        assert np.abs(scene.rgb.astype(int) - other[source].rgb).mean() > 5
        assert len(scene.quads) == (3 if source == "street_plates" else 0)


def test_without_a_number_of_plates_there_are_only_streets_without() -> None:
    assert set(streets(3, lookalikes=2, plates=0)) == {"street_plain", "street_lookalikes"}
