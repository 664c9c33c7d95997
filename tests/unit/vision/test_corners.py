"""The second stage: crops at the image's own resolution, corners back in its pixels, scores."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from consumer.errors import ModelError
from consumer.vision.corners.crop import (
    HEIGHT,
    INPUT_WIDTH,
    REACHES,
    VERDICT_WIDTH,
    WIDTH,
    crop_matrix,
    cut,
    inverted,
    moved,
    network_input,
    verdict_matrix,
)
from consumer.vision.corners.model import CornerModel, CornerResult
from consumer.vision.corners.refine import refine
from consumer.vision.detect.obb import Detections, upright_quads
from consumer.vision.image.scaling import Pyramid
from consumer.vision.steps import NetworkName, Pixels, advance, run_steps

MODELS = Path(__file__).parents[3] / "models"
IMAGE = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
Quads = NDArray[np.float32]


def rectangle(*box: float) -> Quads:
    """The corners (4, 2) of centre x, y, width, height and angle in degrees."""
    return upright_quads(np.array([[*box[:4], np.radians(box[4])]], np.float32))[0]


RECTANGLES = st.builds(
    rectangle,
    st.floats(-50, 450), st.floats(-50, 350), st.floats(3, 300), st.floats(3, 300),
    st.floats(-45, 135),
)  # fmt: skip


@given(RECTANGLES)
def test_a_candidate_lies_level_in_the_middle_of_its_crop(quad: Quads) -> None:
    inside = moved(quad, crop_matrix(quad))
    assert np.allclose(inside.mean(axis=0), (WIDTH / 2, HEIGHT / 2), atol=0.1)
    assert np.allclose(inside[0, 1], inside[1, 1], atol=0.1)
    assert inside[0, 0] < inside[1, 0]
    width, height = np.ptp(inside, axis=0)
    assert width <= 128.1
    assert height <= 48.1
    assert width >= 127.9 or height >= 47.9


@pytest.mark.parametrize("reach", REACHES)
@given(quad=RECTANGLES)
def test_a_candidate_lies_level_in_the_middle_of_its_surroundings(
    quad: Quads, reach: float
) -> None:
    inside = moved(quad, verdict_matrix(quad, reach))
    assert np.allclose(inside.mean(axis=0), (VERDICT_WIDTH / 2, HEIGHT / 2), atol=0.1)
    assert np.allclose(inside[0, 1], inside[1, 1], atol=0.1)
    assert inside[0, 0] < inside[1, 0]
    width, height = np.ptp(inside, axis=0)
    assert max(width, 2 * height) == pytest.approx(VERDICT_WIDTH / reach, abs=0.2)


def test_the_networks_input_is_all_crops_side_by_side() -> None:
    quad = rectangle(200, 150, 60, 20, 10)
    pixels = network_input(Pyramid(IMAGE), quad)
    assert pixels.shape == (HEIGHT, INPUT_WIDTH, 3)
    assert np.array_equal(pixels[:, :WIDTH], cut(Pyramid(IMAGE), crop_matrix(quad)))
    for place, reach in enumerate(REACHES):
        start = WIDTH + place * VERDICT_WIDTH
        crop = cut(Pyramid(IMAGE), verdict_matrix(quad, reach), VERDICT_WIDTH)
        assert np.array_equal(pixels[:, start : start + VERDICT_WIDTH], crop)


@given(RECTANGLES)
def test_points_find_their_way_back(quad: Quads) -> None:
    matrix = crop_matrix(quad)
    assert np.allclose(moved(moved(quad, matrix), inverted(matrix)), quad, atol=0.05)


@pytest.mark.parametrize("scale", [4.0, 1.0, 0.25])
def test_a_crop_shows_what_lies_at_its_points(scale: float) -> None:
    """Also if it is reduced: a mark in the image is where the matrix says."""
    image = np.zeros((600, 800, 3), np.uint8)
    quad = rectangle(400, 300, 128 / scale, 48 / scale, 20)
    corner = quad[1]
    cv2.circle(image, tuple(np.rint(corner - 0.5).astype(int).tolist()), 6, (255, 255, 255), -1)
    matrix = crop_matrix(quad)
    crop = cut(Pyramid(image), matrix)
    assert crop.shape == (HEIGHT, WIDTH, 3)
    rows, columns = np.nonzero(crop[..., 0] > 100)
    found = np.array((columns.mean() + 0.5, rows.mean() + 0.5))
    assert np.abs(found - moved(corner, matrix)).max() < 0.6 * max(1, scale)


@given(RECTANGLES)
def test_a_crop_beyond_the_image_repeats_its_edge(quad: Quads) -> None:
    flat = np.full((300, 400, 3), 77, np.uint8)
    assert (network_input(Pyramid(flat), quad) == 77).all()


def found_by(results: Sequence[CornerResult], *quads: Quads, score: float = 0.5) -> Detections:
    """What the second stage makes of candidates, if its network returns these results."""
    batches: list[int] = []

    def run(network: NetworkName, batch: Pixels) -> list[CornerResult]:
        assert network == "corners"
        batches.append(len(batch))
        return [results[sum(batches) - 1]]

    candidates = Detections(
        np.array(quads, np.float32).reshape(-1, 4, 2), np.full(len(quads), score, np.float32)
    )
    return run_steps(refine(Pyramid(IMAGE), candidates), run)


def result(quad: Quads, corners: Quads, log_ratio: float = 0.0, error: float = 0.0) -> CornerResult:
    """The network's result for the crop of ``quad`` if it sees the plate at ``corners``."""
    return CornerResult(log_ratio, moved(corners, crop_matrix(quad)), error)


@given(RECTANGLES)
def test_the_corners_are_those_of_the_network_in_the_image(quad: Quads) -> None:
    short = np.linalg.norm(quad[[1, 3]] - quad[0], axis=1).min()
    true = quad + np.array([(1, 2), (3, -1), (0, 1), (-2, 0)], np.float32) * short / 20
    found = found_by([result(quad, true)], quad)
    assert np.allclose(found.quads, true[None], atol=0.05)


def test_an_outline_grows_by_the_expected_error() -> None:
    quad = rectangle(200, 150, 64, 20, 0)  # twice as large in the crop
    found = found_by([result(quad, quad, error=3.0)], quad)
    assert np.allclose(found.quads[0][0], quad[0] - 1.5, atol=1e-3)
    assert np.allclose(found.quads[0][2], quad[2] + 1.5, atol=1e-3)


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (3, 2, 1, 0)])
def test_corners_that_cross_or_run_backwards_leave_the_candidate(order: tuple[int, ...]) -> None:
    quad = rectangle(200, 150, 64, 20, 10)
    found = found_by([result(quad, quad[list(order)])], quad)
    assert np.array_equal(found.quads[0], quad)


def test_a_score_is_the_detectors_odds_times_the_likelihood_ratio() -> None:
    quad = rectangle(200, 150, 64, 20, 0)
    for score, ratio, expected in (
        (0.5, 1, 0.5),
        (0.5, 3, 0.75),
        (0.25, 9, 0.75),
        (0.9, 1 / 9, 0.5),
    ):
        found = found_by([result(quad, quad, float(np.log(ratio)))], quad, score=score)
        assert found.scores[0] == pytest.approx(expected, abs=1e-4)
    for score in (0.0, 1.0):
        assert np.isfinite(found_by([result(quad, quad)], quad, score=score).scores).all()


def test_many_candidates_come_in_parts_and_none_in_none() -> None:
    quads = [rectangle(200, 150, 20 + i, 10, 0) for i in range(70)]
    parts: list[int] = []
    candidates = Detections(np.array(quads), np.full(70, 0.5, np.float32))
    steps = refine(Pyramid(IMAGE), candidates)
    step = advance(steps)
    while isinstance(step, list):
        start = sum(parts)
        parts.append(len(step))
        step = advance(steps, [result(it, it) for it in quads[start : start + len(step)]])
    assert sum(parts) == 70
    assert max(parts) <= 32
    assert np.allclose(step.quads, candidates.quads, atol=0.05)
    assert not len(found_by([]).quads)


@pytest.fixture(scope="module")
def model() -> CornerModel:
    return CornerModel(MODELS / "plate-corners.xml")


def test_a_crop_has_the_same_result_in_any_batch(model: CornerModel) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (7, HEIGHT, INPUT_WIDTH, 3), np.uint8)
    together = model.examine(crops)
    for crop, one in zip(crops, together, strict=True):
        [alone] = model.examine(crop[None])
        assert abs(alone.log_ratio - one.log_ratio) < 1e-3
        assert np.abs(alone.corners - one.corners).max() < 0.05


def test_another_file_is_refused() -> None:
    with pytest.raises(ModelError, match="not a second stage"):
        CornerModel(MODELS / "plate-obb.xml")
    with pytest.raises(ModelError, match="no readable model file"):
        CornerModel(MODELS / "missing.xml")
