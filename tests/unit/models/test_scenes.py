"""Drawn scenes: reproducible, labelled exactly, and the real checkpoint finds their plates."""

from pathlib import Path

import numpy as np
import pytest

from consumer.vision.cover.margins import DEFAULT_PADDING, cover_quads
from consumer.vision.finding import CANDIDATE_SCORE, FindOptions, find_plates, split
from consumer.vision.networks import load_networks
from consumer.vision.steps import run_steps
from models.drawing.scenes import draw_scene
from models.evaluation.metrics import covered_share, long_angle

MODELS = Path(__file__).parents[3] / "models"


def test_same_seed_same_scene():
    first = draw_scene(np.random.default_rng(3), 320, 240, plates=2)
    again = draw_scene(np.random.default_rng(3), 320, 240, plates=2)
    other = draw_scene(np.random.default_rng(4), 320, 240, plates=2)
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.quads, again.quads)
    assert not np.array_equal(first.rgb, other.rgb)


@pytest.mark.parametrize("angle", [0, 12, -25, 90])
@pytest.mark.parametrize(
    ("width", "height", "plates"), [(320, 240, 1), (240, 360, 2), (450, 250, 6)]
)
def test_shape_number_and_place_of_plates(width, height, plates, angle):
    scene = draw_scene(np.random.default_rng(1), width, height, plates, angle)
    assert scene.rgb.shape == (height, width, 3)
    assert scene.rgb.dtype == np.uint8
    assert scene.quads.shape == (plates, 4, 2)
    assert scene.quads.dtype == np.float32
    assert (scene.quads >= 0).all()
    assert (scene.quads <= [width, height]).all()


def test_no_plates():
    assert draw_scene(np.random.default_rng(1), 200, 100, plates=0).quads.shape == (0, 4, 2)


@pytest.mark.parametrize("angle", [-30, 20])
def test_camera_roll_turns_the_plates(angle):
    level = draw_scene(np.random.default_rng(1), 640, 480)
    rolled = draw_scene(np.random.default_rng(1), 640, 480, angle=angle)
    assert abs(long_angle(level.quads[0])) < 4
    assert long_angle(rolled.quads[0]) == pytest.approx(angle, abs=4)


@pytest.mark.parametrize("angle", [0, 15])
def test_quad_lies_on_the_plate(angle):
    scene = draw_scene(np.random.default_rng(5), 1280, 960, angle=angle, styles=("ru_taxi",))
    quad = scene.quads[0]
    # A yellow plate: just inside each edge it is yellow, just outside it is the car.
    for start in range(4):
        edge = (quad[start] + quad[(start + 1) % 4]) / 2
        inward = (quad.mean(0) - edge) / np.linalg.norm(quad.mean(0) - edge)
        inside = scene.rgb[tuple(np.int64(edge + 4 * inward)[::-1])].astype(int)
        outside = scene.rgb[tuple(np.int64(edge - 3 * inward)[::-1])].astype(int)
        assert inside[1] - inside[2] > 60, "yellow"
        assert outside[1] - outside[2] < 50, "not yellow"


def test_impossible_scenes_are_refused():
    with pytest.raises(ValueError, match="cannot draw"):
        draw_scene(np.random.default_rng(0), 32, 32)
    with pytest.raises(ValueError, match="cannot draw"):
        draw_scene(np.random.default_rng(0), 640, 480, plates=-1)


def test_the_real_checkpoint_covers_the_plates_and_nothing_else():
    networks = load_networks(
        MODELS / "plate-obb.pt", MODELS / "plate-corners.xml",
        device="cpu", confidence=CANDIDATE_SCORE, max_batch=1,
    )  # fmt: skip
    covered = plates = extra = 0
    for seed in range(6):
        number = 1 + seed % 3
        scene = draw_scene(np.random.default_rng(seed), 960, 720, number)
        options = FindOptions(640, "auto", corners=True)
        found = run_steps(find_plates(scene.rgb, options), networks.run).plates
        covers = cover_quads(split(found, 0.3)[0].quads, DEFAULT_PADDING)
        covered += sum(covered_share(quad, list(covers)) >= 0.9 for quad in scene.quads)
        plates += number
        extra += max(0, len(covers) - number)
    assert covered == plates == 12
    assert extra == 0
