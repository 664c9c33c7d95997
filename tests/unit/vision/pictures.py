"""Generated images and files for the tests of this folder."""

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
PIXELS = 10_000_000


def smooth(height: int = 48, width: int = 64, channels: int = 3, seed: int = 0) -> Pixels:
    """Return soft random colours, which lossy formats keep within a few units."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, channels), np.uint8)
    large = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.uint8).reshape(height, width, channels)


def quarters(height: int = 40, width: int = 60) -> Pixels:
    """Return red, green, blue and white quarters: no two orientations of it look the same."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    return pixels


def encoded(pixels: Pixels | Image.Image, format_: str, **options: Any) -> bytes:
    """Return a file as Pillow writes it."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels.squeeze())
    output = io.BytesIO()
    image.save(output, format_, **options)
    return output.getvalue()


def tiff(orientation: int, *, order: str = "<", kind: int = 3) -> bytes:
    """Return a TIFF block with an orientation and a GPS latitude reference, as EXIF holds it."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(order + ("I" if kind == 4 else "HH"), *((orientation, 0)[: 5 - kind]))
    make = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"Cam\0")
    turn = struct.pack(order + "HHI", 0x0112, kind, 1) + value
    gps = struct.pack(order + "HHII", 0x8825, 4, 1, 50)
    directory = struct.pack(order + "H", 3) + make + turn + gps + struct.pack(order + "I", 0)
    latitude = struct.pack(order + "HHHI4sI", 1, 1, 2, 2, b"N\0\0\0", 0)
    return mark + struct.pack(order + "I", 8) + directory + latitude


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(colour: int, depth: int, samples: NDArray[Any], *chunks: bytes) -> bytes:
    """Return a PNG file of colour type and bit depth, ``chunks`` before its pixels.

    ``samples`` (H, W, channels), values of ``depth`` bits.
    """
    height, width = samples.shape[:2]
    rows = []
    for row in samples.reshape(height, -1):
        if depth >= 8:
            rows.append(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes())
        else:
            bits = (row[:, None] >> np.arange(depth - 1, -1, -1)) & 1
            rows.append(b"\0" + np.packbits(bits.astype(np.uint8)).tobytes())
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(b"".join(rows))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def jpeg_segment(data: bytes, marker: int, body: bytes) -> bytes:
    """Return the JPEG file with one more segment right after its start."""
    segment = struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
    return data[:2] + segment + data[2:]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP file of these chunks."""
    body = b"WEBP"
    for kind, content in chunks:
        body += struct.pack("<4sI", kind, len(content)) + content + b"\0" * (len(content) & 1)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def stored_as(orientation: int) -> Pixels:
    """Return how a camera stores ``quarters()`` so that ``orientation`` shows it upright."""
    upright = Image.fromarray(quarters())
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    return np.array(upright if inverse is None else upright.transpose(inverse))
