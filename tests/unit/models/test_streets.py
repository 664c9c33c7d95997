"""Drawn streets without plates: reproducible, and the second of a pair has something more."""

import numpy as np

from models.streets import SIDE, streets


def test_the_same_seed_draws_the_same_streets() -> None:
    first, again, other = streets(3), streets(3), streets(4)
    assert set(first) == {"street_plain", "street_lookalikes"}
    for source, rgb in first.items():
        assert rgb.shape == (SIDE, SIDE, 3)
        assert (rgb == again[source]).all()
        assert np.abs(rgb.astype(int) - other[source]).mean() > 5
