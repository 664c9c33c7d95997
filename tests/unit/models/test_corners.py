"""Training of the second stage: crops that can be reproduced, and a calibrated score."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from consumer.vision.corners.crop import HEIGHT, REACHES, VERDICT_WIDTH, WIDTH
from models.corners.export import fit
from models.corners.photos import Place
from models.corners.samples import CropMix, CropSampler, aligned
from models.corners.verdict_samples import VerdictMix, VerdictSampler, cut_off


def test_the_calibration_finds_what_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    detector, networks = rng.normal(0, 2, 20_000), rng.normal(0, 3, (20_000, 2))
    chance = 1 / (1 + np.exp(-(detector + networks @ (0.6, 0.3) - 0.8)))
    found = fit(detector, networks, rng.random(20_000) < chance)
    assert found.scales == pytest.approx((0.6, 0.3), abs=0.05)
    assert found.bias == pytest.approx(-0.8, abs=0.1)


def test_a_calibration_without_data_is_the_mean_of_the_networks() -> None:
    found = fit(np.zeros(0), np.zeros((0, 2)), np.zeros(0, np.bool_))
    assert found == ((0.5, 0.5), 0.0)


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("backwards", [False, True])
def test_corners_start_at_the_top_left_of_the_crop(start: int, *, backwards: bool) -> None:
    quad = np.array([(10, 10), (90, 14), (88, 40), (8, 36)], np.float32)
    other = np.roll(quad[::-1] if backwards else quad, start, axis=0)
    assert np.array_equal(aligned(other), quad)


@pytest.fixture
def places(tmp_path: Path) -> list[Place]:
    """A bright plate in perspective on a dark image, and a place without one on another."""
    dark = np.full((240, 320, 3), 30, np.uint8)
    quad = np.array([(100, 90), (220, 110), (216, 150), (98, 126)], np.float32)
    bright = cv2.fillConvexPoly(dark.copy(), quad.astype(np.int32), (230, 230, 230))
    for name, image in (("plate", bright), ("empty", dark)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    return [
        Place(tmp_path / "plate.png", quad, plate=True, exact=1.0),
        Place(tmp_path / "empty.png", quad, plate=False),
    ]


def test_the_same_seed_and_place_give_the_same_crop(places: list[Place]) -> None:
    first, again, other = (CropSampler(places, CropMix(), seed) for seed in (1, 1, 2))
    for step in range(12):
        crop = first.crop(step, 3)
        assert crop.pixels.shape == (HEIGHT, WIDTH, 3)
        assert crop.pixels.dtype == np.uint8
        assert np.isfinite(crop.corners).all()
        assert np.array_equal(crop.pixels, again.crop(step, 3).pixels)
        assert not np.array_equal(crop.pixels, other.crop(step, 3).pixels)


def test_exact_corners_lie_where_the_crop_shows_the_plate(places: list[Place]) -> None:
    sampler = CropSampler(places, CropMix(0, 1, 0, 0, 0), 0)
    contrasts = []
    for step in range(20):
        crop = sampler.crop(step, 0)
        inside = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.fillConvexPoly(inside, np.rint(crop.corners).astype(np.int32), 1)
        around = cv2.dilate(inside, np.ones((13, 13), np.uint8)) - cv2.dilate(
            inside, np.ones((5, 5), np.uint8)
        )
        inside = cv2.erode(inside, np.ones((5, 5), np.uint8))
        grey = crop.pixels.mean(axis=2)
        assert (crop.plate, crop.exact) == (True, 1.0)
        contrasts.append(grey[inside > 0].mean() - grey[around > 0].mean())
    assert np.median(contrasts) > 60


def test_kinds_of_crops_are_what_they_are_called(places: list[Place]) -> None:
    kinds = {"drawn": True, "lookalike": False, "random": False, "negative": False}
    for kind, plate in kinds.items():
        none = dict.fromkeys(("drawn", "exact", "lookalike", "random", "negative"), 0.0)
        sampler = CropSampler(places, CropMix(**{**none, kind: 1.0}), 0)
        batch = sampler.batch(0, 4)
        assert batch.images.shape == (4, 3, HEIGHT, WIDTH)
        assert batch.plate.tolist() == [float(plate)] * 4
        assert batch.exact.tolist() == [float(plate)] * 4


def test_crops_for_the_verdict_can_be_reproduced(places: list[Place]) -> None:
    first, again, other = (VerdictSampler(places, VerdictMix(), 5, seed) for seed in (1, 1, 2))
    for step in range(12):
        pixels, plate = first.crop(step, 3)
        assert pixels.shape == (HEIGHT, VERDICT_WIDTH, 3)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, again.crop(step, 3)[0])
        assert plate == again.crop(step, 3)[1]
        assert not np.array_equal(pixels, other.crop(step, 3)[0])


@pytest.mark.parametrize("reach", REACHES)
def test_a_plate_lies_in_the_middle_of_its_surroundings(places: list[Place], reach: float) -> None:
    sampler = VerdictSampler(places, VerdictMix(1, 0, 0, 0), reach, 0)
    contrasts = []
    for step in range(20):
        pixels, plate = sampler.crop(step, 0)
        assert plate
        grey = pixels.mean(axis=2)
        middle = grey[HEIGHT // 2 - 1 : HEIGHT // 2 + 2, VERDICT_WIDTH // 2 - 4 :][:, :8]
        contrasts.append(middle.mean() - np.median(grey))
    assert np.median(contrasts) > 60


def test_kinds_of_crops_for_the_verdict_are_what_they_are_called(places: list[Place]) -> None:
    for kind, plate in (("plate", 1), ("drawn", 1), ("negative", 0), ("lookalike", 0), ("", 0)):
        none = dict.fromkeys(("plate", "drawn", "negative", "lookalike"), 0.0)
        mix = VerdictMix(**{**none, **({kind: 1.0} if kind else {})})
        batch = VerdictSampler(places, mix, 2, 0).batch(0, 4)
        assert batch.images.shape == (4, 3, HEIGHT, VERDICT_WIDTH)
        assert batch.plate.tolist() == [plate] * 4


def test_objects_are_drawn_only_where_no_plate_is(places: list[Place]) -> None:
    """The bright plate's photograph never serves as a place without a plate."""
    sampler = VerdictSampler(places, VerdictMix(0, 0, 0, 0), 5, 0)
    assert [path.name for path in sampler.empty] == ["empty.png"]


def test_an_image_is_cut_off_beside_a_place_or_through_it(places: list[Place]) -> None:
    quad = places[0].quad
    image = cv2.imread(str(places[0].image))
    sides, through = set(), 0
    for seed in range(40):
        kept, inside = cut_off(np.random.default_rng(seed), image, quad)
        rows, columns = kept.shape[:2]
        sides.add((rows < 240, columns < 320))
        assert (rows < 240) != (columns < 320)
        assert (inside >= 0).all()
        assert (inside <= (columns, rows)).all()
        shares = np.ptp(inside, axis=0) / np.ptp(quad, axis=0)
        assert (shares >= 0.49).all()
        through += bool((shares < 0.99).any())
        x, y = np.rint(inside.mean(0)).astype(int)
        assert kept[y, x].mean() > 200
    assert len(sides) == 2
    assert 10 <= through <= 30
