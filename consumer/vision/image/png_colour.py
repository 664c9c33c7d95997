"""The ICC profile of a PNG, from its chunks cICP, iCCP, sRGB, gAMA and cHRM.

Which chunk wins, and when one is invalid, is as in Chromium 156: the result then has the colours
that the sender sees.
"""

import struct
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Curve = Callable[[Floats], Floats]
Primaries = tuple[float, ...]
"""Chromaticities x, y of white, red, green and blue."""

CHUNKS = frozenset({b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"})
"""Of each the first chunk before the pixels counts."""

_D65 = (0.3127, 0.3290)
_SRGB: Primaries = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
# By their numbers in ITU-T H.273. Here and below, those of film and of old television are left out.
_PRIMARIES: dict[int, Primaries] = {
    1: _SRGB,
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
_D50 = np.array((0.9642, 1.0, 0.8249))  # the white point of profiles
_BRADFORD = np.array(
    ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
)
_NEARLY_SRGB = 0.05  # of gAMA alone: relative distance from 1/2.2 within which it counts as sRGB
_SMALLEST_TRIANGLE = 1e-3  # of red, green and blue: twice its area
_LEVELS = np.arange(256) / 255
# Brightness, 0 to 1, at which Chromium shows luminances of an HDR image, measured: half of the
# light relative to white at 203 cd/m², compressed above.
_NITS = (0.0, 225.0, 366.0, 567.0, 875.0, 1100.0)
_SHOWN = (0.0, 0.552, 0.716, 0.847, 0.965, 1.0)


def profile(chunks: Mapping[bytes, bytes], icc: bytes) -> bytes:
    """Return the ICC profile of a PNG, empty for sRGB.

    ``chunks``: bodies of its CHUNKS. ``icc``: the unpacked profile of its iCCP. The result is a
    profile of RGB, also for grey images, unless iCCP has a grey one.
    """
    coded = _coded(chunks.get(b"cICP", b""))
    if coded is not None:
        return _written(*coded)
    if icc and icc[36:40] == b"acsp":
        return icc
    intent = chunks.get(b"sRGB", b"")
    if len(intent) == 1 and intent[0] < 4:
        return b""
    measured = _measured(chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b""))
    return b"" if measured is None else _written(*measured)


def _coded(body: bytes) -> tuple[Primaries, Curve] | None:
    """Return the meaning of a cICP; None if it is invalid or not full-range RGB."""
    if len(body) != 4 or body[2:] != b"\0\1":
        return None
    primaries, curve = _PRIMARIES.get(body[0]), _CURVES.get(body[1])
    return None if primaries is None or curve is None else (primaries, curve)


def _measured(gamma_body: bytes, primaries_body: bytes) -> tuple[Primaries, Curve] | None:
    """Return the meaning of gAMA and cHRM; None without an effect, as cHRM alone has none."""
    if len(gamma_body) != 4 or not any(gamma_body):
        return None
    gamma = struct.unpack(">I", gamma_body)[0] / 100_000
    if len(primaries_body) == 32:
        numbers = tuple(value / 100_000 for value in struct.unpack(">8i", primaries_body))
        return (numbers, _power(1 / gamma)) if _is_colour_space(numbers) else None
    if abs(gamma * 2.2 - 1) < _NEARLY_SRGB:
        return None
    return _SRGB, _power(1 / gamma)


def _power(exponent: float) -> Curve:
    return lambda levels: np.asarray(levels**exponent, np.float64)


def _srgb(levels: Floats) -> Floats:
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def _pq(levels: Floats) -> Floats:
    root = levels ** (32 / 2523)
    light = np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
    return np.interp(10_000 * light ** (16384 / 2610), _NITS, _SHOWN)


def _hlg(levels: Floats) -> Floats:
    upper = (np.exp((levels - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.interp(1000 * np.where(levels <= 0.5, levels**2 / 3, upper) ** 1.2, _NITS, _SHOWN)


_CURVES: dict[int, Curve] = {  # by their numbers in ITU-T H.273; video is shown with a power of 2.4
    **dict.fromkeys((1, 6, 11, 14, 15), _power(2.4)),
    4: _power(2.2), 5: _power(2.8), 8: _power(1.0), 13: _srgb, 16: _pq, 18: _hlg,
}  # fmt: skip


def _is_colour_space(primaries: Primaries) -> bool:
    x, y = np.array(primaries).reshape(4, 2).T
    in_range = bool((x >= 0).all() and (y >= 0).all() and (x + y <= 1.001).all() and y[0] > 0)
    triangle = np.stack((x[1:], y[1:], np.ones(3)))
    return in_range and abs(float(np.linalg.det(triangle))) > _SMALLEST_TRIANGLE


def _matrix(primaries: Primaries) -> Floats:
    """Return the matrix (3, 3) from linear RGB to XYZ under D50."""
    x, y = np.array(primaries).reshape(4, 2).T
    xyz = np.stack((x, y, 1 - x - y))
    white, colours = xyz[:, 0] / y[0], xyz[:, 1:]
    cones, wanted = _BRADFORD @ white, _BRADFORD @ _D50
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(wanted / cones) @ _BRADFORD
    return np.asarray(adapted @ colours * np.linalg.solve(colours, white), np.float64)


def _written(primaries: Primaries, curve: Curve) -> bytes:
    """Return an ICC profile, version 2, with these primaries and this curve."""
    levels = np.rint(np.clip(curve(_LEVELS), 0, 1) * 65535).astype(">u2")
    tone = b"curv" + struct.pack(">II", 0, len(levels)) + levels.tobytes()
    tags = [(b"wtpt", _xyz(_D50))]
    matrix = _matrix(primaries)
    for index, name in enumerate((b"r", b"g", b"b")):
        tags += [(name + b"XYZ", _xyz(matrix[:, index])), (name + b"TRC", tone)]
    start, directory = 132 + 12 * len(tags), struct.pack(">I", len(tags))
    for tag, body in tags:
        directory += struct.pack(">4sII", tag, start, len(body))
        start += len(body)
    head = struct.pack(">I4xI4s4s4s12x4s", start, 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    head = head.ljust(68, b"\0") + _xyz(_D50)[8:].ljust(60, b"\0")
    return head + directory + b"".join(body for _, body in tags)


def _xyz(values: Floats) -> bytes:
    return b"XYZ \0\0\0\0" + np.rint(values * 65536).astype(">i4").tobytes()
