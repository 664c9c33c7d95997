"""All plate styles: those of Russia (GOST R 50577), and of ``styles_world`` and
``styles_motorcycles``."""

from __future__ import annotations

from dataclasses import replace

from models.drawing.plates import BLACK, BLUE, RED, RGB, WHITE, YELLOW, Band, Field, Style
from models.drawing.styles_motorcycles import motorcycle_styles
from models.drawing.styles_world import american_styles, asian_styles, european_styles

RU_LETTERS = "ABEKMHOPCTYX"


def _flag(x: float, y: float, w: float, h: float) -> tuple[Band, ...]:
    """Return the bands of the Russian flag."""
    third = h / 3
    colours: tuple[RGB, ...] = ((250, 250, 250), (30, 60, 160), (205, 30, 40))
    return tuple(Band(x, y + i * third, w, third, c) for i, c in enumerate(colours))


def _russian(
    name: str, ground: RGB, ink: RGB, pattern: tuple[str, str, str], region: str = "99"
) -> Style:
    """Return a style of one row, 520 x 112 mm: the region stands right of a vertical line."""
    fields = []
    x = 20.0
    unit = 350.0 / sum(len(p) for p in pattern)
    for part in pattern:
        tall = 76.0 if "#" in part else 60.0
        fields.append(Field(x, 94 - tall, unit * len(part), tall, part))
        x += unit * len(part)
    fields.append(Field(398, 14, 106, 56, region))
    fields.append(Field(400, 80, 56, 19, "RUS"))
    bands = (Band(387, 4, 3, 104, ink), *_flag(464, 79, 36, 21))
    return Style(name, 520, 112, ground, ink, tuple(fields), bands, letters=RU_LETTERS, region="ru")


def _russian_styles() -> tuple[Style, ...]:
    civil = ("A", "###", "AA")
    two_row = Style(
        "ru_two_row",
        290,
        170,
        WHITE,
        BLACK,
        (
            Field(28, 14, 48, 56, "A"),
            Field(84, 10, 172, 62, "###"),
            Field(18, 92, 104, 56, "AA"),
            Field(150, 84, 124, 48, "999"),
            Field(160, 140, 52, 18, "RUS"),
        ),
        (*_flag(220, 140, 34, 18), Band(140, 80, 3, 86, BLACK)),
        letters=RU_LETTERS,
        region="ru",
    )
    moto = Style(
        "ru_moto",
        190,
        145,
        WHITE,
        BLACK,
        (
            Field(14, 12, 162, 54, "####"),
            Field(12, 80, 74, 50, "AA"),
            Field(106, 76, 70, 36, "99"),
            Field(108, 118, 36, 14, "RUS"),
        ),
        (*_flag(148, 118, 26, 14), Band(96, 70, 3, 71, BLACK)),
        letters=RU_LETTERS,
        region="ru",
    )
    return (
        _russian("ru", WHITE, BLACK, civil),
        _russian("ru_3", WHITE, BLACK, civil, "799"),
        _russian("ru_taxi", YELLOW, BLACK, ("AA", "###", " "), "77"),
        _russian("ru_police", BLUE, WHITE, ("A", "####", " ")),
        _russian("ru_military", BLACK, WHITE, ("####", "AA", "")),
        _russian("ru_diplomat", RED, WHITE, ("###", "D", "###"), "77"),
        _russian("ru_trailer", WHITE, BLACK, ("AA", "####", "")),
        two_row,
        replace(two_row, name="ru_two_row_yellow", ground=YELLOW),
        moto,
        replace(two_row, name="ru_two_row_black", ground=BLACK, ink=WHITE),
    )


STYLES: tuple[Style, ...] = (
    *_russian_styles(),
    *european_styles(),
    *american_styles(),
    *asian_styles(),
    *motorcycle_styles(),
)
BY_NAME = {style.name: style for style in STYLES}
# Shares of drawn plates in training: many are Russian, as few in the photographs are.
REGIONS = {"ru": 0.38, "eu": 0.21, "us": 0.09, "asia": 0.17, "moto": 0.15}
TWO_ROW_RATIO = 2.2
TWO_ROW = tuple(style for style in STYLES if style.w < TWO_ROW_RATIO * style.h)
TWO_ROW_REGIONS = REGIONS | {"moto": 0.6}
"""Shares where the plate is known to have two rows: most such plates are on motorcycles."""
