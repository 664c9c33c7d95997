"""Plate styles of motorcycles and scooters: mostly two rows, from square to twice as wide."""

from __future__ import annotations

from dataclasses import replace

from models.drawing.plates import BLACK, BLUE, GREEN, RED, RGB, WHITE, YELLOW, Band, Field, Style

_EU_BLUE: RGB = (0, 51, 153)


def _rows(
    name: str,
    size: tuple[float, float],
    rows: tuple[str, ...],
    colours: tuple[RGB, RGB] = (WHITE, BLACK),
    *,
    top: float = 0.07,
    border: float = 3.0,
) -> Style:
    """Return a style whose rows have equal heights; ``top``: the margin above, as a part of it."""
    w, h = size
    gap = 0.07 * h
    tall = (h * (0.93 - top) - gap * (len(rows) - 1)) / len(rows)
    fields = tuple(
        Field(0.08 * w, top * h + i * (tall + gap), w * 0.86, tall, row)
        for i, row in enumerate(rows)
    )
    return Style(name, w, h, *colours, fields, border=border, region="moto")


def _headed(
    name: str,
    size: tuple[float, float],
    rows: tuple[str, ...],
    header: tuple[RGB, str],
    colours: tuple[RGB, RGB] = (WHITE, BLACK),
) -> Style:
    """Return a style with a coloured band and a word over its rows."""
    w, h = size
    tone, word = header
    label = Field(0.25 * w, 0.05 * h, 0.5 * w, 0.12 * h, word, ink=WHITE)
    plate = _rows(name, size, rows, colours, top=0.28, border=2.0)
    return replace(plate, fields=(*plate.fields, label), bands=(Band(0, 0, w, 0.22 * h, tone),))


def _asian() -> tuple[Style, ...]:
    indonesia = Style(
        "id_moto",
        275,
        110,
        BLACK,
        WHITE,
        (Field(18, 12, 238, 58, "A #### AAA"), Field(170, 78, 78, 20, "99-99")),
        region="moto",
    )
    thailand = Style(
        "th_moto",
        220,
        170,
        WHITE,
        BLACK,
        (
            Field(54, 10, 112, 50, "9~~"),
            Field(50, 66, 120, 28, "~~~~~~"),
            Field(40, 100, 140, 58, "###"),
        ),
        region="moto",
    )
    india = _rows("in_moto", (200, 100), ("AA 99 AA", "####"))
    return (
        _rows("vn_moto", (190, 140), ("99-A9", "###.##")),
        _rows("vn_moto_4", (190, 140), ("99-A9", "####")),
        indonesia,
        replace(indonesia, name="id_moto_white", ground=WHITE, ink=BLACK),
        thailand,
        india,
        _rows("in_moto_tall", (200, 150), ("AA99A", "####")),
        replace(india, name="in_moto_green", ground=GREEN, ink=WHITE),
        _rows("in_moto_three", (170, 150), ("AA 99", "AA", "####")),
        _rows("cn_moto", (220, 140), ("~-A", "#####"), (YELLOW, BLACK)),
        _rows("cn_moto_blue", (220, 140), ("~-A", "#####"), (BLUE, WHITE)),
        _rows("jp_moto", (230, 125), ("~~ 9 ~", "##-##"), (WHITE, GREEN), border=2.0),
        _rows("tw_moto", (260, 140), ("AAA-####",), top=0.2),
        _rows("my_moto", (200, 110), ("AAA", "####"), (BLACK, WHITE), border=0.0),
        _rows("bd_moto", (190, 140), ("~~~ ~~~~", "##-####")),
        _rows("pk_moto", (180, 130), ("AAA", "####"), (YELLOW, BLACK)),
        _rows("ph_moto", (220, 135), ("999AAA",), (WHITE, GREEN), top=0.25),
        _rows("ir_moto", (240, 160), ("999", "#####")),
        _rows("kr_moto", (210, 115), ("~~ 9", "~ ####"), (WHITE, BLUE)),
    )  # fmt: skip


def _european() -> tuple[Style, ...]:
    def country(name: str, size: tuple[float, float], code: str, *rows: str) -> Style:
        w, h = size
        band = (Band(4, 4, 0.15 * w, 0.45 * h, _EU_BLUE),)
        label = Field(0.03 * w + 3, 0.34 * h, 0.11 * w, 0.1 * h, code, ink=WHITE)
        plate = _rows(name, size, rows)
        first = replace(plate.fields[0], x=0.22 * w, w=0.7 * w)
        return replace(plate, fields=(first, *plate.fields[1:], label), bands=band)

    return (
        country("it_moto", (177, 177), "I", "AA", "#####"),
        country("fr_moto", (210, 130), "F", "AA-###", "AA"),
        country("es_moto", (220, 160), "E", "####", "AAA"),
        country("pl_moto", (190, 150), "PL", "AA", "####"),
        country("gr_moto", (210, 160), "GR", "AAA", "####"),
        _rows("de_moto", (180, 200), ("AA", "AA ##")),
        _rows("uk_moto", (203, 152), ("AA##", "AAA"), (YELLOW, BLACK), border=0.0),
        _rows("uk_moto_white", (228, 178), ("AA##", "AAA"), border=0.0),
        _rows("nl_moto", (210, 143), ("AA", "##-AA"), ((245, 190, 20), BLACK)),
        _rows("ua_moto", (220, 174), ("AA ##", "##AA")),
        _rows("tr_moto", (240, 150), ("99 AA", "####")),
        _rows("square_plain", (160, 160), ("AA", "###")),
        _rows("square_red", (150, 150), ("AAA", "###"), (WHITE, RED)),
    )


def _african_and_american() -> tuple[Style, ...]:
    egypt = Style(
        "eg_moto",
        180,
        165,
        WHITE,
        BLACK,
        (
            Field(22, 12, 62, 26, "egypt", ink=BLACK),
            Field(106, 12, 54, 26, "~~~", ink=BLACK),
            Field(16, 58, 148, 46, "####"),
            Field(28, 112, 124, 42, "~~~"),
        ),
        (Band(3, 3, 174, 46, (90, 165, 220)), Band(10, 106, 160, 2, BLACK)),
        region="moto",
    )
    header = replace(egypt, w=240, h=140, name="eg_moto_wide", fields=(
        Field(26, 8, 80, 22, "egypt"),
        Field(150, 8, 60, 22, "~~~"),
        Field(14, 54, 100, 70, "~~~"),
        Field(128, 54, 100, 70, "###"),
    ), bands=(Band(3, 3, 234, 36, (90, 165, 220)), Band(119, 40, 2, 96, BLACK)))  # fmt: skip
    return (
        egypt,
        replace(header, name="eg_moto_red", bands=(Band(3, 3, 234, 36, (205, 60, 55)),)),
        header,
        _headed("br_moto", (200, 170), ("AAA", "#A##"), ((10, 50, 140), "brasilia")),
        _rows("br_moto_grey", (187, 136), ("AAA", "####"), ((188, 190, 194), BLACK)),
        _headed("ar_moto", (200, 150), ("A###", "AAA"), ((30, 90, 190), "mercosur")),
        _rows("co_moto", (235, 105), ("AAA ##A",), (YELLOW, BLACK), top=0.22),
        _rows("ke_moto", (200, 150), ("AAAA", "###A"), (YELLOW, BLACK)),
        _headed("us_moto", (178, 102), ("######",), ((40, 80, 150), "nowhere")),
        _headed("ng_moto", (200, 140), ("AAA", "###AA"), ((20, 120, 60), "lakeland")),
        _rows("ma_moto", (190, 160), ("#####", "~ 9"), border=4.0),
    )


def motorcycle_styles() -> tuple[Style, ...]:
    """Return the styles of all countries."""
    return (*_asian(), *_european(), *_african_and_american())
