"""Things that detectors take for plates: keys, stripes, dials, badges, lamps, words, numbers.

Each function returns an RGBA image (h, w, 4).
"""

from __future__ import annotations

import cv2
import numpy as np

from models.drawing.lettering import COLOURS, digits, panel, pick, word, write
from models.drawing.paste import Pixels

_KEYS = "QWERTYUIOPASDFGHJKLZXCVBNM1234567890"
_DARK, _LIGHT = (26, 26, 30), (242, 242, 240)


def _contrast(colour: tuple[int, ...]) -> tuple[int, int, int]:
    return _DARK if sum(colour) > 380 else _LIGHT


def _clear(width: int, height: int) -> Pixels:
    return np.zeros((height, width, 4), np.uint8)


def _grey(rng: np.random.Generator, low: float, high: float) -> tuple[int, int, int]:
    red, green, blue = np.clip(rng.uniform(low, high) * np.exp(rng.normal(0, 0.04, 3)), 0, 255)
    return int(red), int(green), int(blue)


def draw_keyboard(rng: np.random.Generator) -> Pixels:
    """Draw a keyboard, a number pad or a remote control: rows of keys with a letter each."""
    rows, columns = int(rng.integers(3, 6)), int(rng.integers(3, 15))
    key = 26
    ground = _grey(rng, 15, 235)
    cap = _grey(rng, 15, 245)
    image = panel(columns * key + 12, rows * key + 12, ground)
    for row in range(rows):
        x = 6 + row * 5 % 13
        while x + key <= columns * key + 6:
            wide = key if rng.random() < 0.9 else min(key * 3, columns * key + 6 - x)
            y = 6 + row * key
            cv2.rectangle(image, (x + 1, y + 1), (x + wide - 2, y + key - 2), (*cap, 255), -1)
            if wide == key and rng.random() < 0.95:
                letter = pick(rng, _KEYS)
                write(image, rng, letter, (x + 6, y + 5, 11, 12), _contrast(cap))
            x += wide
    return image


def draw_speed_bump(rng: np.random.Generator) -> Pixels:
    """Draw a speed bump, a kerb or a barrier: blocks of two colours, often with reflectors."""
    blocks, wide = int(rng.integers(3, 12)), int(rng.integers(40, 90))
    tall = int(rng.integers(30, 70))
    light = pick(rng, ((238, 190, 30), (240, 240, 236), (215, 60, 45)))
    dark = pick(rng, ((28, 28, 30), (60, 60, 62), (240, 240, 236)))
    image = panel(blocks * wide, tall, dark)
    slope = int(rng.integers(0, wide)) if rng.random() < 0.5 else 0
    for block in range(-2, blocks + 1, 2):
        x = block * wide
        corners = [[x + slope, 0], [x + wide + slope, 0], [x + wide, tall], [x, tall]]
        cv2.fillPoly(image, [np.array(corners, np.int32)], (*light, 255), cv2.LINE_AA)
    if rng.random() < 0.5:
        for block in range(blocks):
            centre = (block * wide + wide // 2, tall // 2)
            cv2.ellipse(image, centre, (wide // 6, tall // 5), 0, 0, 360, (*_LIGHT, 255), -1)
    ramp = np.linspace(float(rng.uniform(1, 1.3)), float(rng.uniform(0.5, 0.9)), tall)
    image[..., :3] = np.clip(image[..., :3] * ramp[:, None, None], 0, 255)
    return image


def draw_dials(rng: np.random.Generator) -> Pixels:
    """Draw an instrument panel: round dials with marks and a number, and a small display."""
    count, size = int(rng.integers(1, 5)), 110
    image = panel(count * size + 20, size + 50, _grey(rng, 8, 90))
    for dial in range(count):
        centre = (10 + dial * size + size // 2, 8 + size // 2)
        face = _DARK if rng.random() < 0.7 else _LIGHT
        ink = (*_contrast(face), 255)
        cv2.circle(image, centre, 50, (*_grey(rng, 90, 210), 255), -1, cv2.LINE_AA)
        cv2.circle(image, centre, 46, (*face, 255), -1, cv2.LINE_AA)
        for angle in np.arange(0.75 * np.pi, 2.3 * np.pi, 0.26):
            way = np.array([np.cos(angle), np.sin(angle)])
            a, b = (np.rint(np.array(centre) + way * r).astype(int).tolist() for r in (37, 44))
            cv2.line(image, a, b, ink, 2, cv2.LINE_AA)
        turn = float(rng.uniform(0.75, 2.25)) * np.pi
        tip = np.rint(np.array(centre) + 38 * np.array([np.cos(turn), np.sin(turn)])).astype(int)
        cv2.line(image, centre, tip.tolist(), (220, 50, 40, 255), 3, cv2.LINE_AA)
        write(image, rng, digits(rng, "99"), (centre[0] - 14, centre[1] + 18, 28, 14), ink[:3])
    glow = pick(rng, ((70, 220, 120), (240, 150, 40), (120, 190, 240), (200, 210, 200)))
    cv2.rectangle(image, (12, size + 14), (96, size + 44), (12, 16, 14, 255), -1)
    write(
        image, rng, digits(rng, pick(rng, ("99999", "99:99", "999"))), (18, size + 18, 72, 22), glow
    )
    return image


def draw_notice(rng: np.random.Generator) -> Pixels:
    """Draw a notice or a shop's board: one to three rows of words, framed or with a header."""
    rows = int(rng.integers(1, 4))
    wide, tall = int(rng.integers(150, 330)), 46 * rows + int(rng.integers(16, 60))
    ground = pick(rng, (*COLOURS, _LIGHT, _LIGHT))
    ink = _contrast(ground) if rng.random() < 0.7 else pick(rng, COLOURS)
    image = panel(wide, tall, ground)
    if rng.random() < 0.4:
        cv2.rectangle(image, (4, 4), (wide - 5, tall - 5), (*ink, 255), int(rng.integers(2, 6)))
    for row in range(rows):
        inset = int(rng.integers(14, wide // 4))
        text = word(rng) if rng.random() < 0.6 else word(rng).capitalize()
        high = int(rng.integers(18, 36))
        write(image, rng, text, (inset, 12 + 46 * row, wide - 2 * inset, high), ink)
    return image


def draw_badge(rng: np.random.Generator) -> Pixels:
    """Draw a maker's or model's badge: letters of metal, or an emblem."""
    text = pick(rng, ("GT", "TURBO", "SPORT", "4X4", "V8", "LX", "HYBRID", "XR-7", "S-LINE", "AMX"))
    tone = _grey(rng, 120, 235)
    if rng.random() < 0.4:  # emblem
        image = _clear(120, 84)
        cv2.ellipse(image, (60, 42), (57, 39), 0, 0, 360, (*tone, 255), -1, cv2.LINE_AA)
        cv2.ellipse(
            image, (60, 42), (50, 32), 0, 0, 360, (*pick(rng, COLOURS), 255), -1, cv2.LINE_AA
        )
        write(image, rng, text[:3], (32, 27, 56, 30), tone)
        return image
    image = _clear(34 * len(text) + 10, 44)
    if rng.random() < 0.3:
        image[:] = (*_grey(rng, 15, 80), 255)
    write(image, rng, text, (7, 7, 34 * len(text), 34), (10, 10, 12))
    write(image, rng, text, (5, 5, 34 * len(text), 34), tone)
    return image


def draw_number(rng: np.random.Generator) -> Pixels:
    """Draw a number sticker: of a house, a start, a price or a bus route; one to three digits."""
    shape = int(rng.integers(0, 3))
    # Three digits on a framed square could be a plate.
    texts = ("9", "99", "99", "9a", "99%") if shape == 1 else ("9", "99", "999", "9a")
    text = digits(rng, pick(rng, texts))
    ground = pick(rng, (*COLOURS, _LIGHT))
    image = _clear(110, 110)
    if shape == 0:
        cv2.circle(image, (55, 55), 53, (*ground, 255), -1, cv2.LINE_AA)
    elif shape == 1:
        image[:] = (*ground, 255)
        cv2.rectangle(image, (5, 5), (104, 104), (*_contrast(ground), 255), 3)
    else:
        cv2.fillConvexPoly(
            image, np.array([[55, 0], [110, 55], [55, 110], [0, 55]]), (*ground, 255)
        )
    write(image, rng, text, (24, 32, 62, 46), _contrast(ground))
    return image


def draw_lamp(rng: np.random.Generator) -> Pixels:
    """Draw a rear lamp, a reflector, or a lit or unlit lamp with ribs, without letters."""
    wide, tall = int(rng.integers(60, 220)), int(rng.integers(40, 90))
    tone = pick(
        rng, ((200, 30, 30), (150, 16, 20), (240, 150, 40), (236, 238, 232), (250, 246, 220))
    )
    image = _clear(wide, tall)
    radius = int(min(wide, tall) * float(rng.uniform(0.1, 0.45)))
    grown = cv2.rectangle(np.zeros((tall, wide), np.uint8), (radius, radius),
                          (wide - radius - 1, tall - radius - 1), 255, -1)  # fmt: skip
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    image[..., 3] = cv2.dilate(grown, kernel)
    colour = np.full((tall, wide, 3), tone, np.uint8)
    step = int(rng.integers(6, 22))
    rib = (np.array(tone) * 0.75).tolist()
    for at in range(step, wide, step):
        cv2.line(colour, (at, 0), (at, tall), rib, 2)
    if rng.random() < 0.5:
        cv2.rectangle(colour, (0, tall // 2), (wide, tall), (235, 228, 220), -1)
    x = np.linspace(-1, 1, wide)[None, :, None]
    y = np.linspace(-1, 1, tall)[:, None, None]
    glow = np.exp(-3 * (x * x + y * y)) * float(rng.uniform(0, 160))
    image[..., :3] = np.clip(colour + glow, 0, 255)
    return image


def draw_strings(rng: np.random.Generator) -> Pixels:
    """Draw a guitar's bridge, a trumpet's valves, a comb: a bar under parallel lines."""
    lines, step = int(rng.integers(3, 13)), int(rng.integers(9, 20))
    wide, tall = lines * step + 40, int(rng.integers(50, 120))
    body = pick(rng, ((150, 92, 44), (96, 52, 26), (205, 160, 70), (30, 28, 28), (190, 192, 196)))
    image = panel(wide, tall, body)
    bar = pick(rng, (_DARK, (212, 214, 216), (226, 190, 90), (240, 232, 212)))
    low, high = round(tall * 0.3), round(tall * 0.7)
    cv2.rectangle(image, (10, low), (wide - 10, high), (*bar, 255), -1)
    metal = (*_grey(rng, 150, 240), 255)
    for line in range(lines):
        x = 20 + line * step + step // 2
        cv2.line(image, (x, 0), (x, tall), metal, int(rng.integers(1, 4)), cv2.LINE_AA)
        cv2.circle(image, (x, high - 5), step // 3, (*_contrast(bar), 255), -1, cv2.LINE_AA)
    return image if rng.random() < 0.6 else np.ascontiguousarray(np.rot90(image))


def draw_screen(rng: np.random.Generator) -> Pixels:
    """Draw a screen, a phone or a book's cover: a bright area in a frame, lines of small text."""
    wide, tall = int(rng.integers(120, 260)), int(rng.integers(90, 200))
    image = panel(wide, tall, _grey(rng, 10, 70))
    ground = pick(rng, (_LIGHT, (40, 60, 110), (20, 22, 26), *COLOURS))
    cv2.rectangle(image, (8, 8), (wide - 9, tall - 9), (*ground, 255), -1)
    for y in range(18, tall - 24, int(rng.integers(14, 34))):
        text = f"{word(rng)} {digits(rng, pick(rng, ('', '9', '99')))}".strip()
        width = min(wide - 36, int(rng.integers(6, 13)) * len(text))
        write(image, rng, text, (18, y, width, 11), _contrast(ground))
    return image


DRAW = (
    draw_keyboard,
    draw_speed_bump,
    draw_dials,
    draw_notice,
    draw_badge,
    draw_number,
    draw_lamp,
    draw_strings,
    draw_screen,
)
LARGE = (draw_keyboard, draw_speed_bump, draw_dials, draw_notice, draw_strings, draw_screen)
"""Those that may fill much of a photograph."""
