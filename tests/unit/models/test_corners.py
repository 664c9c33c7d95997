"""Training of the second stage: crops that can be reproduced, and a calibrated score."""

import numpy as np
import pytest

from models.corners.export import fit
from models.corners.samples import aligned


def test_the_calibration_finds_what_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    detector, network = rng.normal(0, 2, 20_000), rng.normal(0, 3, 20_000)
    chance = 1 / (1 + np.exp(-(detector + 0.6 * network - 0.8)))
    found = fit(detector, network, rng.random(20_000) < chance)
    assert found.scale == pytest.approx(0.6, abs=0.05)
    assert found.bias == pytest.approx(-0.8, abs=0.1)


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("backwards", [False, True])
def test_corners_start_at_the_top_left_of_the_crop(start: int, *, backwards: bool) -> None:
    quad = np.array([(10, 10), (90, 14), (88, 40), (8, 36)], np.float32)
    other = np.roll(quad[::-1] if backwards else quad, start, axis=0)
    assert np.array_equal(aligned(other), quad)
