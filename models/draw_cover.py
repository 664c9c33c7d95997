"""Draw ``static/cover.png``, the default stub image: ``python -m models.draw_cover``.

A grey plate with a shield and a crossed-out eye, without text, since it is put on plates of any
country, angle and proportion. It is opaque up to the corners.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 520, 112
OVERSAMPLING = 4
GROUND = (203, 207, 212)
LIGHT, DARK = (226, 229, 233), (209, 213, 218)
RIM = (158, 165, 174)
MARK = (140, 148, 159)
DEFAULT_OUTPUT = Path(__file__).parent.parent / "static" / "cover.png"

Point = tuple[float, float]


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Draw the default stub image.")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    output: Path = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    draw_cover().save(output, optimize=True)


def draw_cover() -> Image.Image:
    """Return the plate, RGBA, 520 x 112."""
    scale = OVERSAMPLING
    plate = Image.new("RGB", (WIDTH * scale, HEIGHT * scale), GROUND)
    face = _gradient(plate.size, LIGHT, DARK)
    plate.paste(face, mask=_rounded(plate.size, 5 * scale, 15 * scale))
    draw = ImageDraw.Draw(plate)
    _frame(draw, 5 * scale, 15 * scale, 2 * scale, RIM)
    _frame(draw, 8 * scale, 12 * scale, scale, (238, 240, 243))
    for x in (40, WIDTH - 40):
        _bolt(draw, x * scale, HEIGHT * scale / 2, 5 * scale)
    _emblem(plate, (WIDTH * scale / 2, HEIGHT * scale / 2), 35 * scale)
    small = plate.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    small.putalpha(255)
    return small


def _gradient(size: tuple[int, int], top: tuple[int, ...], bottom: tuple[int, ...]) -> Image.Image:
    column = Image.new("RGB", (1, size[1]))
    for y in range(size[1]):
        part = y / (size[1] - 1)
        red, green, blue = (round(a + (b - a) * part) for a, b in zip(top, bottom, strict=True))
        column.putpixel((0, y), (red, green, blue))
    return column.resize(size)


def _rounded(size: tuple[int, int], inset: int, radius: int) -> Image.Image:
    mask = Image.new("L", size, 0)
    box = (inset, inset, size[0] - inset - 1, size[1] - inset - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, radius, fill=255)
    return mask


def _frame(
    draw: ImageDraw.ImageDraw, inset: int, radius: int, width: int, colour: tuple[int, int, int]
) -> None:
    right, bottom = WIDTH * OVERSAMPLING - inset - 1, HEIGHT * OVERSAMPLING - inset - 1
    draw.rounded_rectangle((inset, inset, right, bottom), radius, outline=colour, width=width)


def _bolt(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(190, 195, 202))
    inner = radius * 0.62
    draw.ellipse((x - inner, y - inner, x + inner, y + inner), fill=(214, 218, 223))


def _emblem(plate: Image.Image, centre: Point, size: float) -> None:
    """Draw a shield with a crossed-out eye, with a faint light edge below as if embossed."""
    mask = Image.new("L", plate.size, 0)
    draw = ImageDraw.Draw(mask)
    draw.polygon(_shield(centre, size), fill=255)
    draw.polygon(_shield((centre[0], centre[1] - size * 0.01), size * 0.86), fill=0)
    _eye(draw, (centre[0], centre[1] - size * 0.06), size * 0.52)
    light = mask.filter(ImageFilter.GaussianBlur(OVERSAMPLING * 0.6))
    plate.paste((244, 246, 248), (0, OVERSAMPLING), mask=light)
    plate.paste(MARK, mask=mask)


def _shield(centre: Point, size: float) -> list[Point]:
    """Return a heater shield as a polygon; ``size`` is half its height."""
    x, y = centre
    half = size * 0.84
    right = [(half * _flank(step / 40), -0.78 * size + 1.78 * size * step / 40)
             for step in range(41)]  # fmt: skip
    top = [(half * part / 20, -size * (0.78 + 0.22 * (1 - abs(part) / 20) ** 1.4))
           for part in range(-20, 20)]  # fmt: skip
    left = [(-across, down) for across, down in reversed(right)]
    return [(x + across, y + down) for across, down in (*top, *right, *left)]


def _flank(part: float) -> float:
    """Return the shield's half width, 0 to 1, at ``part`` of the way down."""
    straight = 0.42
    return 1.0 if part < straight else (1 - ((part - straight) / (1 - straight)) ** 2) ** 0.72


def _eye(draw: ImageDraw.ImageDraw, centre: Point, size: float) -> None:
    x, y = centre
    stroke = round(size * 0.16)
    parts = [step / 30 for step in range(-30, 31)]
    lid = [(x + size * part, y - size * 0.56 * (1 - part**2)) for part in parts]
    draw.line([*lid, *((a, 2 * y - b) for a, b in reversed(lid)), lid[0], lid[1]],
              fill=255, width=stroke, joint="curve")  # fmt: skip
    iris = size * 0.3
    draw.ellipse((x - iris, y - iris, x + iris, y + iris), fill=255)
    reach = size * 0.78
    draw.line((x - reach, y + reach, x + reach, y - reach), fill=0, width=round(stroke * 2.2))
    draw.line((x - reach, y + reach, x + reach, y - reach), fill=255, width=stroke)


if __name__ == "__main__":
    main()
