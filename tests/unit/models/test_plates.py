"""Drawn plates: the same seed gives the same image, and the texts are fictitious."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.draw_cover import draw_cover
from models.drawing.plates import draw_plate, fill_pattern, pick_style
from models.drawing.styles import BY_NAME, REGIONS, STYLES, TWO_ROW, TWO_ROW_REGIONS


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_every_style_draws_a_plate_of_its_size_with_readable_contrast(style):
    image, text = draw_plate(np.random.default_rng(1), style)
    assert image.shape == (round(style.h), round(style.w), 4)
    assert image.dtype == np.uint8
    assert text.strip()
    inner = image[12:-12, 12:-12, :3].astype(int).sum(2)
    assert np.ptp(inner) > 200, "letters must differ from the ground"
    assert image[image.shape[0] // 2, image.shape[1] // 2, 3] == 255
    assert image[0, 0, 3] == 0, "the corners are round"


def test_same_seed_same_plate_and_another_seed_another_plate():
    style = BY_NAME["ru"]
    first, text = draw_plate(np.random.default_rng(7), style)
    again, same_text = draw_plate(np.random.default_rng(7), style)
    other, _ = draw_plate(np.random.default_rng(8), style)
    assert text == same_text
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_running_number_is_void_unless_asked_otherwise():
    for seed in range(20):
        _, text = draw_plate(np.random.default_rng(seed), BY_NAME["ru"])
        assert text.split()[1] == "000"
        assert set(text.split()[0] + text.split()[2]) <= set("ABEKMHOPCTYX")
    texts = {
        draw_plate(np.random.default_rng(seed), BY_NAME["ru"], void=False)[1].split()[1]
        for seed in range(20)
    }
    assert len(texts) > 10


def test_the_default_stub_image_is_the_drawn_one():
    with Image.open(Path(__file__).parents[3] / "static" / "cover.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(draw_cover()))


def test_pattern_letters_digits_and_literals():
    rng = np.random.default_rng(0)
    assert fill_pattern("##-x ~", "Q", rng) == "00-X ~"
    assert fill_pattern("AAA", "Q", rng) == "QQQ"
    assert fill_pattern("99", "Q", rng).isdigit()


def test_regions_are_drawn_by_their_weights():
    rng = np.random.default_rng(0)
    drawn = [pick_style(rng, STYLES, REGIONS).region for _ in range(2000)]
    assert drawn.count("ru") / 2000 == pytest.approx(REGIONS["ru"], abs=0.05)
    assert {pick_style(rng, STYLES, {"us": 1.0}).region for _ in range(20)} == {"us"}


def test_most_plates_of_two_rows_are_of_motorcycles():
    rng = np.random.default_rng(0)
    drawn = [pick_style(rng, TWO_ROW, TWO_ROW_REGIONS) for _ in range(300)]
    assert 0.35 < np.mean([style.region == "moto" for style in drawn]) < 0.6
    assert {style.region for style in drawn} == set(REGIONS)
