"""Plate styles of the EU and its neighbours, the Americas, Asia and Australia."""

from __future__ import annotations

from dataclasses import replace

from models.drawing.plates import BLACK, GREEN, RGB, WHITE, YELLOW, Band, Field, Style


def _european(
    name: str,
    country: str,
    pattern: str,
    ground: RGB = WHITE,
    ink: RGB = BLACK,
    band: RGB = (0, 51, 153),
) -> Style:
    """Return a style of one row, 520 x 110 mm, with a coloured band at the left."""
    fields = (Field(60, 18, 444, 76, pattern), Field(12, 74, 34, 22, country, ink=WHITE))
    bands = (
        Band(5, 5, 46, 100, band),
        Band(18, 22, 20, 4, YELLOW),
        Band(18, 44, 20, 4, YELLOW),
        Band(14, 28, 4, 14, YELLOW),
        Band(38, 28, 4, 14, YELLOW),
    )
    return Style(name, 520, 110, ground, ink, fields, bands, region="eu")


def european_styles() -> tuple[Style, ...]:
    plain = Style(
        "eu_plain", 520, 110, WHITE, BLACK, (Field(24, 18, 472, 76, "AA ### AA"),), region="eu"
    )
    two_row = Style(
        "eu_two_row",
        300,
        200,
        WHITE,
        BLACK,
        (
            Field(70, 18, 210, 74, "AAA"),
            Field(22, 108, 256, 74, "####"),
            Field(14, 70, 32, 18, "EU", ink=WHITE),
        ),
        (Band(6, 6, 46, 90, (0, 51, 153)),),
        region="eu",
    )
    return (
        _european("eu_d", "D", "AA AA ###"),
        _european("eu_f", "F", "AA-###-AA"),
        _european("eu_pl", "PL", "AAA ####"),
        _european("eu_e", "E", "#### AAA"),
        _european("eu_ro", "RO", "A ### AAA"),
        _european("eu_it", "I", "AA ###AA"),
        _european("eu_nl", "NL", "AA-###-A", (245, 190, 20)),
        _european("uk_rear", "UK", "AA## AAA", (245, 200, 40)),
        _european("ua", "ua", "AA####AA", band=(30, 90, 190)),
        _european("kz", "KZ", "### AAA 99", band=(20, 120, 170)),
        _european("by", "BY", "#### AA-9", band=(200, 40, 40)),
        plain,
        replace(plain, name="eu_plain_yellow", ground=(245, 200, 40)),
        two_row,
        replace(plain, name="eu_old_black", ground=BLACK, ink=(225, 225, 225)),
        Style(
            "eu_moto",
            180,
            200,
            WHITE,
            BLACK,
            (Field(22, 20, 136, 74, "AAA"), Field(22, 108, 136, 74, "###")),
            region="eu",
        ),
    )


def _american(name: str, pattern: str, top: RGB, bottom: RGB, ink: RGB, word: str) -> Style:
    """Return a style of 305 x 152 mm: the number between two words."""
    return Style(
        name,
        305,
        152,
        top,
        ink,
        (
            Field(18, 44, 270, 70, pattern),
            Field(62, 12, 182, 20, word),
            Field(92, 126, 122, 12, "fictitious"),
        ),
        border=0,
        ground_to=bottom,
        region="us",
    )


def american_styles() -> tuple[Style, ...]:
    sky, sand = (150, 190, 230), (245, 225, 180)
    return (
        _american("us_white", "#AAA###", WHITE, WHITE, (20, 40, 110), "nowhere"),
        _american("us_sky", "AAA ####", sky, WHITE, (20, 30, 70), "lakeland"),
        _american("us_sand", "AAA-###", sand, (240, 190, 140), (90, 25, 30), "mesavia"),
        _american("us_green", "### AAA", WHITE, (170, 215, 175), (15, 80, 45), "pine state"),
        _american("us_blue", "AAA ###", (25, 50, 110), (25, 50, 110), (235, 190, 50), "harbor"),
        _american("us_yellow", "AAA ####", (250, 205, 90), (250, 205, 90), (20, 40, 110), "empyr"),
        Style(
            "br_mercosur",
            400,
            130,
            WHITE,
            BLACK,
            (Field(18, 42, 364, 72, "AAA#A##"), Field(130, 9, 140, 17, "brasilia", ink=WHITE)),
            (Band(0, 0, 400, 34, (10, 50, 140)),),
            region="us",
        ),
        Style(
            "br_grey",
            400,
            130,
            (190, 192, 195),
            BLACK,
            (Field(18, 42, 364, 72, "AAA####"), Field(100, 12, 200, 16, "AA nowhere")),
            region="us",
        ),
    )


def asian_styles() -> tuple[Style, ...]:
    india = Style(
        "in", 500, 120, WHITE, BLACK, (Field(44, 24, 440, 74, "AA99AA####"),), region="asia"
    )
    japan = Style(
        "jp",
        330,
        165,
        WHITE,
        GREEN,
        (
            Field(90, 16, 150, 44, "~~ 999"),
            Field(58, 72, 254, 76, "##-##"),
            Field(16, 96, 34, 34, "~"),
        ),
        border=0,
        region="asia",
    )
    india2 = Style(
        "in_two_row",
        260,
        170,
        WHITE,
        BLACK,
        (Field(22, 16, 216, 60, "AA 99 AA"), Field(22, 92, 216, 62, "####")),
        region="asia",
    )
    china = Style(
        "cn",
        440,
        140,
        (15, 70, 175),
        WHITE,
        (Field(16, 24, 104, 92, "~A"), Field(138, 24, 288, 92, "#####")),
        region="asia",
    )
    return (
        india,
        replace(india, name="in_yellow", ground=(250, 195, 20)),
        india2,
        replace(india2, name="in_two_row_yellow", ground=(250, 195, 20)),
        japan,
        replace(japan, name="jp_kei", ground=(245, 200, 30), ink=BLACK),
        replace(japan, name="jp_business", ground=(20, 95, 60), ink=WHITE),
        china,
        replace(china, name="cn_ev", ground=(235, 245, 240), ground_to=(90, 200, 120), ink=BLACK),
        replace(china, name="cn_yellow", ground=(245, 185, 20), ink=BLACK),
        Style("kr", 520, 110, WHITE, BLACK, (Field(24, 18, 472, 76, "99~ ####"),), region="asia"),
        Style(
            "kr_two_row",
            335,
            170,
            WHITE,
            (20, 40, 40),
            (Field(90, 12, 156, 46, "~~99"), Field(20, 68, 296, 84, "~####")),
            region="asia",
        ),
        Style(
            "eg",
            350,
            170,
            WHITE,
            BLACK,
            (
                Field(20, 72, 150, 78, "~~~"),
                Field(186, 72, 146, 78, "###"),
                Field(40, 18, 110, 26, "egypt"),
                Field(230, 18, 70, 26, "~~~"),
            ),
            (Band(4, 4, 342, 52, (90, 165, 220)), Band(174, 56, 3, 110, BLACK)),
            region="asia",
        ),
        Style(
            "ae",
            520,
            110,
            WHITE,
            BLACK,
            (
                Field(40, 22, 60, 68, "A"),
                Field(120, 30, 90, 50, "~~~~"),
                Field(230, 18, 260, 76, "#####"),
            ),
            region="asia",
        ),
        Style(
            "il",
            520,
            110,
            (250, 205, 30),
            BLACK,
            (Field(60, 18, 444, 76, "##-###-##"),),
            (Band(4, 4, 44, 102, (20, 70, 170)),),
            region="asia",
        ),
        Style(
            "au",
            372,
            134,
            (250, 220, 70),
            BLACK,
            (Field(20, 26, 332, 70, "AA-##-AA"), Field(130, 106, 112, 14, "nowhere")),
            region="asia",
        ),
    )
