"""Crops, pasted plates and batches: labels stay on what they label."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dataset import apply_fixes, load, read_folder
from models.drawing.paste import paste
from models.training.augment import Sample, crop, random_turn
from models.training.batches import MOTORCYCLES, Mix, Sampler, collate, motorcycle_sample, to_box
from models.training.lookalikes import add_lookalikes
from models.training.synthesis import (
    add_motorcycles,
    add_plates,
    overlaps,
    perspective_quad,
    replace_plates,
    tilted_quad,
    upright,
)

RED = (250, 10, 10)


def image_with_plate(quad):
    image = np.full((240, 320, 3), 90, np.uint8)
    cv2.fillPoly(image, [np.rint(quad * 16).astype(np.int32)], RED, cv2.LINE_8, 4)
    return image


def red_share(rgb, quad):
    """Share of the quad that is red, and share of all red that lies in the quad."""
    red = (rgb[..., 0] > 170) & (rgb[..., 1] < 120) & (rgb[..., 2] < 120)
    mask = cv2.fillPoly(np.zeros(rgb.shape[:2], np.uint8), [np.rint(quad).astype(np.int32)], 1)
    both = (red & (mask > 0)).sum()
    return both / max(1, mask.sum()), both / max(1, red.sum())


@pytest.fixture
def folder(tmp_path):
    tilted = np.array([[100, 90], [196, 110], [190, 134], [95, 115]], np.float32)
    level = np.array([[60, 60], [160, 60], [160, 84], [60, 84]], np.float32)
    cases = {"tilted_1": [tilted], "level_1": [level], "none_1": []}
    for part in ("images", "labels"):
        (tmp_path / part / "train").mkdir(parents=True)
    for name, quads in cases.items():
        image = image_with_plate(quads[0]) if quads else np.full((240, 320, 3), 60, np.uint8)
        path = tmp_path / "images/train" / f"{name}.png"
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        lines = ["0 " + " ".join(f"{v:.6f}" for v in (q / [320, 240]).ravel()) for q in quads]
        (tmp_path / "labels/train" / f"{name}.txt").write_text("\n".join(lines))
    return tmp_path


def test_reading_a_folder_tells_oriented_sources(folder):
    items = {item.source: item for item in read_folder(folder, "train")}
    assert items["tilted"].oriented
    assert not items["level"].oriented
    assert items["none"].quads.shape == (0, 4, 2)
    with pytest.raises(FileNotFoundError):
        read_folder(folder, "val")
    (folder / "labels/train/level_1.txt").write_text("0 0.5 0.5 0.1 0.1")
    with pytest.raises(ValueError, match="9 numbers"):
        read_folder(folder, "train")


def test_fixes_tighten_add_mask_and_drop(folder, tmp_path):
    square = [0.1, 0.1, 0.3, 0.1, 0.3, 0.2, 0.1, 0.2]
    fixes = tmp_path / "fixes.json"
    fixes.write_text(
        '{"tighten": {"tilted": 0.5}, "drop": ["none_1"],'
        f' "add": {{"level_1": [{square}]}}, "mask": {{"tilted_1": [{square}]}}}}'
    )
    before = {i.source: i for i in read_folder(folder, "train")}
    after = {i.source: i for i in apply_fixes(read_folder(folder, "train"), fixes)}
    assert set(after) == {"tilted", "level"}
    assert len(after["level"].quads) == 2
    assert np.ptp(after["tilted"].quads[0], axis=0) == pytest.approx(
        np.ptp(before["tilted"].quads[0], axis=0) / 2, rel=1e-3
    )
    plain, _ = load(before["tilted"])
    masked, _ = load(after["tilted"])
    assert np.array_equal(plain[60:], masked[60:])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_a_crop_keeps_the_label_on_the_plate(seed, oriented):
    quad = np.array([[60, 60], [220, 60], [220, 100], [60, 100]], np.float32)
    sample = crop(
        np.random.default_rng(seed),
        image_with_plate(quad),
        quad[None],
        oriented=oriented,
        size=256,
        backdrop=np.full((9, 9, 3), 50, np.uint8),
    )
    assert sample.rgb.shape == (256, 256, 3)
    if len(sample.quads):
        inside, caught = red_share(sample.rgb, sample.quads[0])
        assert inside > 0.8
        assert caught > 0.8


@settings(max_examples=60, deadline=None)
@given(st.floats(-44, 134), st.integers(0, 3), st.booleans())
def test_boxes_have_the_long_side_first_and_the_heads_range(degrees, start, mirrored):
    corners = cv2.boxPoints(((100, 80), (60, 15), degrees))
    quad = np.roll(corners[:: -1 if mirrored else 1], start, axis=0).astype(np.float32)
    x, y, w, h, angle = to_box(quad)
    assert (x, y, w, h) == pytest.approx((100, 80, 60, 15), abs=0.1)
    assert -math.pi / 4 <= angle < 3 * math.pi / 4
    assert abs(math.sin(angle - math.radians(degrees))) < 0.01


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("direction", [1, -1])
def test_upright_starts_at_the_top_left_wherever_the_label_starts(start, direction):
    quad = np.array([[10, 20], [90, 28], [88, 50], [8, 42]], np.float32)
    assert np.array_equal(upright(np.roll(quad, start, axis=0)[::direction]), quad)


def test_a_nearly_square_plate_is_read_along_the_side_closer_to_level():
    quad = np.array([[10, 10], [40, 12], [38, 50], [8, 48]], np.float32)
    assert np.array_equal(upright(np.roll(quad, 1, axis=0)), quad)
    tall = np.array([[10, 10], [30, 10], [30, 60], [10, 60]], np.float32)
    assert np.ptp(upright(tall)[:2], axis=0).tolist() == [0, 50], "a long one along its long side"


def test_steep_turns_reach_65_degrees_and_tilted_plates_their_share():
    rng = np.random.default_rng(0)
    turns = np.abs([random_turn(rng, steep=True) for _ in range(300)])
    assert 60 < turns.max() <= 65
    assert 0.3 < (turns > 40).mean() < 0.5
    angles = []
    for _ in range(300):
        quad = tilted_quad(rng, (50.0, 50.0), 20.0, 1.4, share=0.5)
        across = quad[1] - quad[0]
        angles.append(abs(math.degrees(math.atan2(across[1], across[0]))))
    assert 0.1 < np.mean(np.array(angles) > 40) < 0.4


def test_paste_puts_the_picture_between_its_corners_and_nowhere_else():
    image = np.zeros((100, 160, 3), np.uint8)
    patch = np.zeros((50, 200, 4), np.uint8)
    patch[:] = (*RED, 255)
    quad = np.array([[30.0, 20], [120, 30], [118, 60], [28, 50]], np.float32)
    paste(image, patch, quad)
    inside, caught = red_share(image, quad)
    assert inside > 0.93
    assert caught > 0.97
    far = np.array([[500.0, 20], [600, 30], [600, 60], [500, 50]], np.float32)
    before = image.copy()
    paste(image, patch, far)
    assert np.array_equal(image, before)


def blank_sample(quads=()):
    quads = np.array(quads, np.float32).reshape(-1, 4, 2)
    return Sample(np.full((256, 256, 3), 128, np.uint8), quads, np.zeros(len(quads), np.bool_))


def changed(before, after, quad):
    mask = cv2.fillPoly(np.zeros((256, 256), np.uint8), [np.rint(quad).astype(np.int32)], 1)
    different = (before.rgb.astype(int) - after.rgb).any(2)
    return float(different[mask > 0].mean())


def test_added_plates_are_drawn_where_the_labels_say():
    sample = blank_sample()
    total = 0
    for seed in range(15):
        result = add_plates(np.random.default_rng(seed), sample, 3)
        assert result.exact.all()
        total += len(result.quads)
        for quad in result.quads:
            assert changed(sample, result, quad) > 0.85, "all but its round corners"
        again = add_plates(np.random.default_rng(seed), sample, 3)
        assert np.array_equal(result.rgb, again.rgb)
        assert np.array_equal(result.quads, again.quads)
    assert total > 10
    assert (sample.rgb == 128).all(), "the input stays as it was"


def test_replaced_plates_are_exact_and_hide_the_old_one():
    quad = np.array([[60, 100], [180, 112], [178, 140], [58, 128]], np.float32)
    sample = blank_sample([quad])
    result = replace_plates(np.random.default_rng(0), sample)
    assert result.exact.tolist() == [True]
    assert changed(sample, result, quad) > 0.95
    assert np.abs(result.quads[0] - quad).max() < 12


def test_lookalikes_have_no_label_and_spare_the_plates():
    quad = np.array([[60, 100], [180, 100], [180, 130], [60, 130]], np.float32)
    sample = blank_sample([quad])
    touched = 0
    for seed in range(10):
        result = add_lookalikes(np.random.default_rng(seed), sample, 3)
        assert np.array_equal(result.quads, sample.quads)
        assert np.array_equal(result.rgb[101:129, 61:179], sample.rgb[101:129, 61:179])
        touched += not np.array_equal(result.rgb, sample.rgb)
    assert touched > 5


def test_added_motorcycles_spare_the_plates_and_label_their_own():
    quad = np.array([[60, 100], [180, 112], [178, 140], [58, 128]], np.float32)
    sample = blank_sample([quad])
    total = 0
    for seed in range(8):
        result, again = (add_motorcycles(np.random.default_rng(seed), sample, 2) for _ in range(2))
        assert np.array_equal(result.rgb, again.rgb)
        assert np.array_equal(result.quads[0], quad)
        assert changed(sample, result, quad) < 0.1
        assert result.exact.tolist() == [False] + [True] * (len(result.quads) - 1)
        for added in result.quads[1:]:
            assert changed(sample, result, added) > 0.85
        total += len(result.quads) - 1
    assert total >= 3
    assert (sample.rgb == 128).all(), "the input stays as it was"


def test_scenes_of_motorcycles_are_exact():
    rng = np.random.default_rng(1)
    samples = [motorcycle_sample(rng, 128) for _ in range(4)]
    assert sum(len(sample.quads) for sample in samples) >= 3
    assert all(sample.exact.all() for sample in samples)
    assert {sample.rgb.shape for sample in samples} == {(128, 128, 3)}


def test_photographs_turned_far_have_exact_plates(folder):
    items = [item for item in read_folder(folder, "train") if item.source == "level"]
    mix = Mix(0, 0, scenes=0, motorcycles=0, steep=1, added=0, lookalikes=0, mounted=0)
    sampler = Sampler(items, mix, seed=0)
    boxes = torch.cat([collate([sampler.sample(0, place, 192)]).boxes for place in range(16)])
    exact = torch.cat([collate([sampler.sample(0, place, 192)]).exact for place in range(16)])
    assert len(boxes) > 8
    assert exact.all()
    assert (torch.sin(boxes[:, 4]).abs() > math.sin(math.radians(35))).any()


def test_photographs_of_motorcycles_are_chosen_more_often(folder):
    items = read_folder(folder, "train")
    level = next(item for item in items if item.source == "level")
    pair = [level, replace(level, source=MOTORCYCLES[0])]
    one, more = Sampler(pair, Mix(motorcycle_weight=4), seed=0).weights
    assert more == pytest.approx(4 * one)


def test_overlaps():
    quad = perspective_quad(np.random.default_rng(0), (50, 50), 10, 4.6)
    assert overlaps(quad, quad[None] + 3)
    assert not overlaps(quad, quad[None] + 200)


def test_batches_are_fixed_by_seed_and_step(folder):
    items = read_folder(folder, "train")
    sampler = Sampler(items, Mix(), seed=1)
    first, again = sampler.batch(5, 6, [128]), Sampler(items, Mix(), seed=1).batch(5, 6, [128])
    assert first.images.shape == (6, 3, 128, 128)
    assert (first.images == again.images).all()
    assert (first.boxes == again.boxes).all()
    assert not (first.images == sampler.batch(6, 6, [128]).images).all()
    assert len(first.boxes) == len(first.exact) == len(first.image)


def test_collate_takes_upright_labels_as_bounds_and_leaves_out_specks():
    quad = np.array([[10, 10], [60, 20], [58, 32], [8, 22]], np.float32)
    speck = np.array([[90, 90], [98, 90], [98, 92], [90, 92]], np.float32)
    rgb = np.zeros((128, 128, 3), np.uint8)
    sample = Sample(rgb, np.stack([quad, quad, speck]), np.array([True, False, True]))
    batch = collate([sample])
    assert batch.exact.tolist() == [True, False]
    assert batch.boxes[0, 4] > 0.15
    assert batch.boxes[1].tolist() == [34, 21, 52, 22, 0]
