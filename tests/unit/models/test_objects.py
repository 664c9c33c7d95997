"""Drawn things that are not plates."""

import numpy as np
import pytest

from models.drawing.lettering import digits, panel, write
from models.drawing.objects import DRAW, LARGE
from models.training import lookalikes
from models.training.augment import Sample


@pytest.mark.parametrize("draw", DRAW, ids=lambda draw: draw.__name__)
def test_things_are_fixed_by_their_seed_and_differ_between_seeds(draw):
    pictures = []
    for seed in range(6):
        image = draw(np.random.default_rng(seed))
        assert np.array_equal(image, draw(np.random.default_rng(seed)))
        assert image.dtype == np.uint8
        assert image.shape[2] == 4
        assert image[..., 3].max() == 255
        assert image[..., :3][image[..., 3] > 0].std() > 5, "there is something to see"
        pictures.append(image.tobytes())
    assert len(set(pictures)) > 3


def test_training_shows_every_kind():
    assert set(DRAW) < set(lookalikes.DRAW)
    assert set(LARGE) < set(DRAW)
    blank = Sample(
        np.full((160, 160, 3), 128, np.uint8), np.zeros((0, 4, 2), np.float32), np.zeros(0, bool)
    )
    for seed in range(20):
        result = lookalikes.add_lookalikes(np.random.default_rng(seed), blank, 4)
        assert not len(result.quads)
        assert (result.rgb != 128).any()


def test_lettering():
    rng = np.random.default_rng(0)
    assert digits(rng, "a-9").startswith("a-")
    assert digits(rng, "99").isdigit()
    image = panel(60, 20, (10, 20, 30))
    assert (image == (10, 20, 30, 255)).all()
    write(image, rng, "H", (10, 2, 16, 16), (250, 250, 250))
    changed = (image[..., 0] > 200).any(axis=0)
    assert changed[10:26].any()
    assert not changed[26:].any()
