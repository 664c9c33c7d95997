"""Covering: the plate is hidden, nothing beside it changes, and the stub is upright."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from consumer.vision.cover.cover import FILL, Stub, StubError, cover, load_stub
from consumer.vision.detect.obb import upright_quads
from tests.unit.vision.pictures import encoded, quarters

PLANTED = np.array((255, 0, 255), np.uint8)
STUB = Stub(np.full((28, 130, 3), (90, 100, 110), np.uint8))
CORNERED = Stub(quarters(28, 130))


def quads_of(box: tuple[float, ...]) -> NDArray[np.float32]:
    """The corners (1, 4, 2) of a box: centre, width, height and angle."""
    return upright_quads(np.array([box], np.float32))


angles = st.floats(-np.pi / 4, 3 * np.pi / 4)
plates = st.builds(
    lambda *box: quads_of(box),
    st.floats(-20, 70),
    st.floats(-20, 60),
    st.floats(0.2, 160),
    st.floats(0.2, 160),
    angles,
)


def planted(height: int = 90, width: int = 120) -> NDArray[np.uint8]:
    return np.full((height, width, 3), PLANTED, np.uint8)


def overlap(quad: NDArray[np.float32], x: int, y: int) -> float:
    """Return the area of the quad within pixel (x, y), by cutting it at the pixel's four sides."""
    polygon = [tuple(map(float, corner)) for corner in quad]
    for axis, limit, sign in ((0, x, 1), (0, x + 1, -1), (1, y, 1), (1, y + 1, -1)):
        cut: list[tuple[float, ...]] = []
        for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            inside_a, inside_b = sign * (a[axis] - limit) >= 0, sign * (b[axis] - limit) >= 0
            if inside_a:
                cut.append(a)
            if inside_a != inside_b:
                part = (limit - a[axis]) / (b[axis] - a[axis])
                cut.append(tuple(p + part * (q - p) for p, q in zip(a, b, strict=True)))
        polygon = cut
        if not polygon:
            return 0.0
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)) / 2


@settings(max_examples=20)
@given(plates, st.sampled_from([None, STUB, CORNERED]))
def test_exactly_the_pixels_that_the_quad_touches_change(
    quads: NDArray[np.float32], stub: Stub | None
) -> None:
    rgb = planted(36, 48)
    cover(rgb, quads, stub=stub)
    changed = (rgb != PLANTED).any(axis=2)
    [quad] = quads
    for y, x in np.ndindex(changed.shape):
        if overlap(quad, x, y) > 1e-3:
            assert changed[y, x]
        near = overlap(expand_about(quad, 0.01), x, y)
        if near == 0:
            assert not changed[y, x]


def expand_about(quad: NDArray[np.float32], pixels: float) -> NDArray[np.float32]:
    """Return the quad grown by some pixels on each side."""
    across, down = quad[1] - quad[0], quad[3] - quad[0]
    across = across / np.linalg.norm(across) * pixels
    down = down / np.linalg.norm(down) * pixels
    shifts = np.array((-across - down, across - down, across + down, down - across))
    return np.asarray(quad + shifts, np.float32)


@given(plates)
def test_no_pixel_of_the_image_remains_under_the_stub(quads: NDArray[np.float32]) -> None:
    """The stub has no magenta, so any magenta would come from the image below."""
    rgb = planted()
    cover(rgb, quads, stub=STUB)
    changed = (rgb != PLANTED).any(axis=2)
    colours = rgb[changed].astype(int)
    low, high = np.minimum(FILL, STUB.rgb[0, 0]), np.maximum(FILL, STUB.rgb[0, 0])
    assert ((colours >= low) & (colours <= high)).all()


@given(plates)
def test_fill_mode_leaves_one_colour(quads: NDArray[np.float32]) -> None:
    rgb = planted()
    cover(rgb, quads, stub=None)
    changed = (rgb != PLANTED).any(axis=2)
    assert (rgb[changed] == FILL).all()


@pytest.mark.parametrize("degrees", range(-90, 90, 15))
@pytest.mark.parametrize("size", [(120, 60), (300, 140)])
def test_the_stub_lies_upright_and_unmirrored(degrees: int, size: tuple[int, int]) -> None:
    quad = quads_of((200, 200, *size, np.radians(degrees)))
    rgb = np.zeros((400, 400, 3), np.uint8)
    cover(rgb, quad, stub=CORNERED)
    expected = ((255, 0, 0), (0, 255, 0), (255, 255, 255), (0, 0, 255))
    centre = quad[0].mean(axis=0)
    for corner, colour in zip(quad[0], expected, strict=True):
        for part in (0.3, 0.9):
            x, y = (centre + part * (corner - centre)).astype(int)
            assert rgb[y, x].tolist() == list(colour)


def test_the_stub_fills_the_quad_to_its_edges() -> None:
    quad = np.array([[[10, 20], [110, 20], [110, 50], [10, 50]]], np.float32)
    rgb = planted(80, 130)
    cover(rgb, quad, stub=STUB)
    assert (rgb[20:50, 10:110] == STUB.rgb[0, 0]).all()
    rgb[19:51, 9:111] = PLANTED
    assert (rgb == PLANTED).all()


def test_a_stub_of_the_plates_size_is_copied_pixel_by_pixel() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 100, 3), np.uint8)
    quad = np.array([[[10, 20], [110, 20], [110, 50], [10, 50]]], np.float32)
    rgb = planted(80, 130)
    cover(rgb, quad, stub=Stub(noise))
    assert (rgb[20:50, 10:110] == noise).all()


def test_a_small_plate_shows_the_whole_stub() -> None:
    """Shrunk by area: a fine pattern becomes its mean instead of a sample of it."""
    lines = np.zeros((120, 480, 3), np.uint8)
    lines[:, ::6] = 240
    rgb = np.zeros((30, 60, 3), np.uint8)
    quad = np.array([[[10, 10], [50, 10], [50, 20], [10, 20]]], np.float32)
    cover(rgb, quad, stub=Stub(lines))
    assert np.abs(rgb[10:20, 10:50].astype(int) - 40).max() <= 3


def test_the_best_plate_lies_on_top() -> None:
    left = [[10, 10], [60, 10], [60, 40], [10, 40]]
    right = [[40, 10], [90, 10], [90, 40], [40, 40]]
    rgb = planted(60, 100)
    cover(rgb, np.array([left, right], np.float32), stub=CORNERED)
    assert rgb[15, 55].tolist() == [0, 255, 0]


def test_alpha_becomes_opaque_exactly_where_covered() -> None:
    quads = quads_of((60, 40, 50, 20, 0.4))
    rgb, alpha = planted(80, 120), np.full((80, 120), 3, np.uint8)
    cover(rgb, quads, stub=STUB, alpha=alpha)
    changed = (rgb != PLANTED).any(axis=2)
    assert changed.any()
    assert (alpha[changed] == 255).all()
    assert (alpha[~changed] == 3).all()


def test_a_plate_of_many_strips_does_not_depend_on_where_they_begin() -> None:
    """Strips begin at the top of the plate, or at that of the image if it cuts the plate."""
    quads = quads_of((60, 310, 80, 560, 0.05))
    whole, cut = planted(620), planted(500)
    cover(whole, quads, stub=CORNERED)
    cover(cut, (quads - (0, 120)).astype(np.float32), stub=CORNERED)
    whole = whole[120:]
    assert ((whole == PLANTED).all(axis=2) == (cut == PLANTED).all(axis=2)).all()
    # The warp rounds to 1/32 pixel, from another origin in each strip.
    assert (np.abs(whole.astype(int) - cut).max(axis=2) > 16).mean() < 0.01


@pytest.mark.parametrize("stub", [None, STUB])
@pytest.mark.parametrize(
    "quad",
    [
        [[5, 5], [5, 5], [5, 5], [5, 5]],
        [[2, 3], [17, 9], [17, 9], [2, 3]],
        [[-1e6, -1e6], [1e6, -1e6], [1e6, 1e6], [-1e6, 1e6]],
        [[300, 300], [320, 300], [320, 310], [300, 310]],
        [[-20, -20], [-10, -20], [-10, -10], [-20, -10]],
    ],
)
def test_odd_quads_do_no_harm(quad: list[list[float]], stub: Stub | None) -> None:
    rgb = planted(20, 20)
    cover(rgb, np.array([quad], np.float32), stub=stub)
    changed = (rgb != PLANTED).any(axis=2)
    xs, ys = np.array(quad).T
    visible = max(xs) > 0 and max(ys) > 0 and min(xs) < 20 and min(ys) < 20
    assert changed.any() == visible
    assert changed.all() == (min(xs) < -1e5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_quads_that_are_not_finite_are_refused(value: float) -> None:
    quads = np.full((1, 4, 2), 5, np.float32)
    quads[0, 2, 1] = value
    with pytest.raises(ValueError, match="finite"):
        cover(planted(), quads, stub=None)


def test_a_read_only_image_is_refused() -> None:
    rgb = planted()
    rgb.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        cover(rgb, np.zeros((0, 4, 2), np.float32), stub=None)


def test_transparent_parts_of_a_stub_show_the_fill(tmp_path: Path) -> None:
    rgba = np.zeros((10, 20, 4), np.uint8)
    rgba[:, :10] = (250, 10, 20, 255)
    path = tmp_path / "stub.png"
    path.write_bytes(encoded(rgba, "PNG"))
    stub = load_stub(path)
    assert (stub.rgb[:, :10] == (250, 10, 20)).all()
    assert (stub.rgb[:, 10:] == FILL).all()


@pytest.mark.parametrize("content", [None, b"", b"no image", encoded(quarters(), "JPEG")])
def test_an_unusable_stub_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StubError, match=r"mine\.png"):
        load_stub(path)


def test_a_cut_stub_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.png"
    path.write_bytes(encoded(quarters(), "PNG")[:-40])
    with pytest.raises(StubError):
        load_stub(path)


def test_our_own_stub_is_opaque_to_the_corners() -> None:
    path = Path(__file__).parents[3] / "static" / "cover.png"
    with Image.open(path) as image:
        assert image.mode == "RGBA"
        assert image.size == (520, 112)
        assert image.getchannel("A").getextrema() == (255, 255)
    assert load_stub(path).rgb[0, 0].tolist() == list(FILL)
