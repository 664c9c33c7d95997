"""What PNG chunks say of colours, compared with what Chromium 156 showed of the same files."""

import struct
import zlib
from itertools import permutations

import numpy as np
import pytest

from consumer.vision.image.decoder import read_header
from tests.unit.vision.checks import decoded
from tests.unit.vision.pictures import PIXELS, chunk, png
from tests.unit.vision.profiles import grey_profile, linear_profile, swapped_profile

SHADES = np.array([32, 64, 128, 200])
PLAIN = [32, 64, 128, 200]
LINEAR = [99, 137, 188, 229]
POWER_22 = [26, 62, 129, 201]
SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3 = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def primaries(*values: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


def coded(*values: int) -> bytes:
    return chunk(b"cICP", bytes(values))


def packed(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"n\0\0" + zlib.compress(profile))


def damaged(whole: bytes) -> bytes:
    return whole[:-1] + bytes([whole[-1] ^ 1])


INTENT = chunk(b"sRGB", b"\0")
LIGHT = gamma(1.0)


def shades(*chunks: bytes, colour: int = 2, depth: int = 8) -> list[int]:
    """Red of grey pixels of SHADES in a PNG with these chunks."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    samples = np.repeat(SHADES[None, :, None], channels, axis=2) * (257 if depth == 16 else 1)
    if channels in {2, 4}:
        samples[..., -1] = 255 * (257 if depth == 16 else 1)
    rgb = decoded(png(colour, depth, samples, *chunks)).rgb
    assert int(np.ptp(rgb.astype(int), axis=2).max()) <= 1, "grey stays grey"
    return [int(value) for value in rgb[0, :, 0]]


def is_like(found: list[int], shown: list[int]) -> bool:
    return max(abs(one - other) for one, other in zip(found, shown, strict=True)) <= 1


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
@pytest.mark.parametrize("depth", [8, 16])
def test_linear_light_becomes_srgb(colour: int, depth: int) -> None:
    assert is_like(shades(colour=colour, depth=depth), PLAIN)
    for chunks in ((LIGHT,), (LIGHT, primaries(*P3)), (coded(1, 8, 0, 1),)):
        assert is_like(shades(*chunks, colour=colour, depth=depth), LINEAR)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.45455, PLAIN), (0.44, PLAIN), (0.47, PLAIN), (0, PLAIN),
        (0.5, [34, 71, 137, 206]), (0.43, [22, 56, 124, 199]), (0.6, [50, 89, 153, 213]),
        (2.0, [161, 188, 219, 242]), (0.3, [3, 25, 89, 178]), (5, [212, 226, 240, 250]),
    ],
)  # fmt: skip
def test_gamma(value: float, shown: list[int]) -> None:
    assert is_like(shades(gamma(value)), shown)


@pytest.mark.parametrize(
    ("chunks", "shown"),
    [
        ((primaries(*P3),), PLAIN),
        ((gamma(0.45455), primaries(*SRGB)), POWER_22),
        ((gamma(0), primaries(*P3)), PLAIN),
        ((INTENT, LIGHT), PLAIN),
        ((LIGHT, INTENT), PLAIN),
        ((LIGHT, chunk(b"sRGB", b"\x09")), LINEAR),
        ((LIGHT, chunk(b"sRGB", b"\0\0")), LINEAR),
        ((LIGHT, chunk(b"sRGB", b"")), LINEAR),
        ((LIGHT, damaged(INTENT)), LINEAR),
        ((damaged(LIGHT),), PLAIN),
        ((chunk(b"gAMA", b"\0\1"),), PLAIN),
        ((chunk(b"gAMA", bytes(8)),), PLAIN),
        ((LIGHT, gamma(0.45455)), LINEAR),
        ((gamma(0.45455), LIGHT), PLAIN),
        ((LIGHT, primaries(*[0.0] * 8)), PLAIN),
        ((LIGHT, primaries(*[0.3] * 8)), PLAIN),
        ((LIGHT, primaries(*[20000.0] * 8)), PLAIN),
        ((LIGHT, chunk(b"cHRM", bytes(31))), LINEAR),
        ((LIGHT, damaged(primaries(*[0.3] * 8))), LINEAR),
        ((coded(1, 13, 0, 1), LIGHT), PLAIN),
        ((LIGHT, coded(1, 13, 0, 1)), PLAIN),
        ((LIGHT, coded(0, 0, 0, 1)), LINEAR),
        ((LIGHT, coded(2, 2, 0, 1)), LINEAR),
        ((LIGHT, coded(12, 13, 0, 0)), LINEAR),
        ((LIGHT, coded(12, 13, 1, 1)), LINEAR),
        ((LIGHT, chunk(b"cICP", b"\x0c\x0d\0")), LINEAR),
        ((LIGHT, damaged(coded(1, 13, 0, 1))), LINEAR),
        ((coded(1, 8, 0, 1), packed(swapped_profile())), LINEAR),
        ((packed(swapped_profile()), coded(1, 8, 0, 1)), LINEAR),
        ((packed(swapped_profile()), LIGHT), PLAIN),
        ((packed(linear_profile()), INTENT, gamma(0.3)), LINEAR),
        ((packed(b"xx" * 200), LIGHT), LINEAR),
        ((damaged(packed(linear_profile())),), PLAIN),
        ((packed(grey_profile(1.0)), LIGHT), PLAIN),
    ],
)
def test_what_holds(chunks: tuple[bytes, ...], shown: list[int]) -> None:
    assert is_like(shades(*chunks), shown)


def test_the_order_of_chunks_does_not_matter() -> None:
    chunks = [coded(1, 8, 0, 1), packed(swapped_profile()), INTENT, gamma(0.3)]
    for order in permutations(chunks):
        assert is_like(shades(*order), LINEAR)


@pytest.mark.parametrize(
    ("transfer", "shown"),
    [
        (1, [20, 54, 121, 197]), (4, POWER_22), (5, [10, 40, 106, 189]), (6, [20, 54, 121, 197]),
        (7, PLAIN), (8, LINEAR), (13, PLAIN), (14, [20, 54, 121, 197]),
        (15, [20, 54, 121, 197]), (16, [5, 30, 132, 255]), (17, PLAIN),
        (18, [14, 43, 99, 202]), (0, PLAIN), (2, PLAIN), (3, PLAIN), (9, PLAIN), (255, PLAIN),
    ],
)  # fmt: skip
def test_coded_curves(transfer: int, shown: list[int]) -> None:
    assert is_like(shades(coded(1, transfer, 0, 1)), shown)


@pytest.mark.parametrize("chunks", [(coded(12, 13, 0, 1),), (gamma(0.45455), primaries(*P3))])
def test_wider_primaries_make_stronger_colours(chunks: tuple[bytes, ...]) -> None:
    samples = np.full((4, 4, 3), 100) + np.array((100, 0, 0))
    red, green, _ = decoded(png(2, 8, samples, *chunks)).rgb[0, 0].astype(int)
    assert red > 205
    assert green < 95


@pytest.mark.parametrize("where", ["before the palette", "after it"])
@pytest.mark.parametrize(
    ("chunks", "shown"), [((LIGHT,), (LINEAR, LINEAR)), ((coded(1, 8, 0, 1),), (LINEAR, PLAIN))]
)
def test_palettes(where: str, chunks: tuple[bytes, ...], shown: tuple[list[int], ...]) -> None:
    palette = chunk(b"PLTE", bytes(shade for shade in PLAIN for _ in range(3)))
    order = (*chunks, palette) if where == "before the palette" else (palette, *chunks)
    rgb = decoded(png(3, 8, np.arange(4).reshape(1, 4, 1), *order)).rgb
    assert is_like([int(red) for red in rgb[0, :, 0]], shown[where == "after it"])


@pytest.mark.parametrize("late", [LIGHT, coded(1, 8, 0, 1), packed(swapped_profile())])
def test_what_comes_after_the_pixels_says_nothing_of_them(late: bytes) -> None:
    samples = np.full((4, 4, 3), 100) + np.array((100, 0, 0))
    data = png(2, 8, samples)
    assert np.array_equal(decoded(data[:-12] + late + data[-12:]).rgb, samples)


def test_transparent_pixels_stay_so_and_black() -> None:
    samples = np.array([[[128, 128, 128, 0], [128, 128, 128, 128]]])
    image = decoded(png(6, 8, samples, LIGHT))
    assert image.rgb[0].tolist() == [[0, 0, 0], [188, 188, 188]]
    assert image.alpha is not None
    assert image.alpha[0].tolist() == [0, 128]


def test_grey_pictures_with_profiles() -> None:
    assert is_like(shades(packed(grey_profile(1.0)), colour=4), LINEAR)
    assert is_like(shades(packed(linear_profile()), colour=0), LINEAR)
    assert is_like(shades(packed(linear_profile()), colour=4), LINEAR)


def test_what_is_converted_is_admitted_with_the_memory_that_it_takes() -> None:
    samples = np.zeros((50, 50, 3), int)
    costs = [
        read_header(data, max_pixels=PIXELS).decoded_bytes - len(data)
        for data in (png(2, 8, samples), png(2, 8, samples, LIGHT))
    ]
    assert costs[1] - costs[0] == 50 * 50 * 4
