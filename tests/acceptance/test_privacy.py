"""Metadata and plates of an image appear nowhere in results, Redis, logs or metrics."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image, PngImagePlugin
from redis import Redis

from tests.support.pictures import Pixels, encoded, pixels_of, scene
from tests.support.receiver import receiving
from tests.support.redis_server import RedisServer
from tests.support.service import Service, running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(180)]

SECRET = b"planted-57f1"
"""Written into every place of a file that can hold text."""

NAME = "owner-57f1-van"
"""Name of the file: it may appear in the task's status, not in logs or metrics."""

STRIPE = np.array((255, 0, 255))
"""A colour that appears only on the plate."""

EXIF_DESCRIPTION, EXIF_MAKER_NOTE, EXIF_COMMENT = 0x010E, 0x927C, 0x9286
EXIF_FOLDER, GPS_FOLDER, GPS_AREA = 0x8769, 0x8825, 0x001C


def striped() -> Pixels:
    """Return a drawn scene whose plate has a stripe of colour STRIPE."""
    drawn = scene(0)
    pixels = drawn.rgb.copy()
    for quad in drawn.quads:
        x, y = quad.mean(axis=0).astype(int)
        half = int(np.ptp(quad[:, 0]) * 0.3)
        pixels[y - 1 : y + 2, x - half : x + half] = STRIPE
    return pixels


def exif() -> bytes:
    """Return Exif with the secret in the main, private and GPS folders."""
    data = Image.Exif()
    data[EXIF_DESCRIPTION] = SECRET.decode()
    data.get_ifd(EXIF_FOLDER)[EXIF_MAKER_NOTE] = SECRET
    data.get_ifd(EXIF_FOLDER)[EXIF_COMMENT] = SECRET
    data.get_ifd(GPS_FOLDER)[GPS_AREA] = SECRET
    return data.tobytes()


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG file."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(pixels: Pixels) -> bytes:
    """Return a JPEG with Exif, XMP, IPTC, FlashPix, a comment, a thumbnail, trailing data."""
    plain = encoded(pixels, exif=exif(), subsampling=0, comment=SECRET)
    thumbnail = encoded(np.ascontiguousarray(pixels[::8, ::8]))
    planted = b"".join((
        segment(0xE0, b"JFXX\0\x10" + thumbnail[:60_000]),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>" + SECRET + b"</x>"),
        segment(0xE2, b"FPXR\0" + SECRET),
        segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", 12) + SECRET),
        segment(0xEF, SECRET),
    ))  # fmt: skip
    return plain[:2] + planted + plain[2:] + SECRET


def png(pixels: Pixels) -> bytes:
    """Return a PNG with all kinds of text, Exif, a private chunk and pixels under alpha 0."""
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    hidden = pixels.copy()
    hidden[:40, :40], alpha[:40, :40] = STRIPE, 0
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", SECRET.decode())
    texts.add_text("Author", SECRET.decode(), zip=True)
    texts.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    buffer = io.BytesIO()
    Image.fromarray(np.dstack((hidden, alpha))).save(buffer, "PNG", pnginfo=texts, exif=exif())
    data = buffer.getvalue()
    body = b"prVt" + SECRET
    chunk = struct.pack(">I", len(SECRET)) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:] + SECRET


def webp(pixels: Pixels) -> bytes:
    """Return a WebP with Exif and XMP."""
    return encoded(pixels, "WEBP", exif=exif(), xmp=SECRET)


def assert_clean(result: bytes) -> None:
    """Check that neither the secret nor the colour of the stripe is left."""
    assert SECRET not in result
    with Image.open(io.BytesIO(result)) as image:
        assert not set(image.info) & {"exif", "xmp", "icc_profile", "comment"}
        # Transparency is kept; the colours below it are checked too.
        pixels = np.asarray(image)[..., :3].astype(int)
    distance = np.abs(pixels - STRIPE).max(axis=2)
    assert distance.min() > 60, "the colour of the plate is still there"


def everything_kept(service: Service, redis: Redis) -> dict[str, bytes]:
    """Return the content of all files in storage and of all keys in Redis, by name."""
    kept = {str(path): path.read_bytes() for path in service.storage.rglob("*") if path.is_file()}
    for key in redis.scan_iter():
        kept[key.decode()] = repr(read_key(redis, key)).encode()
    return kept


def read_key(redis: Redis, key: bytes) -> object:
    """Return the value of a key of any type."""
    kind = redis.type(key)
    if kind == b"hash":
        return redis.hgetall(key)
    if kind == b"stream":
        return redis.xrange(key)
    if kind == b"zset":
        return redis.zrange(key, 0, -1, withscores=True)
    if kind == b"set":
        return redis.smembers(key)
    return redis.get(key)


def test_planted_strings_and_colours_come_out_nowhere(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    pixels = striped()
    files = [(f"{NAME}.jpg", jpeg(pixels)), (f"{NAME}.png", png(pixels)),
             (f"{NAME}.webp", webp(pixels))]  # fmt: skip
    for _, data in files:
        assert SECRET in data
        assert np.abs(pixels_of(data).astype(int) - STRIPE).max(axis=2).min() < 60
    with receiving() as receiver, running(
        own_redis.url, tmp_path, "worker", "dispatcher", "producer", LOG_LEVEL="debug",
        BACKEND_UPLOAD_URL=f"{receiver.url}/upload", SWEEP_INTERVAL_SECONDS="0.5",
        BACKEND_CALLBACK_URL=f"{receiver.url}/callback", DETECTIONS="true",
    ) as service, Redis.from_url(own_redis.url) as redis:  # fmt: skip
        whole = service.submit(*files)
        broken = service.submit((f"{NAME}.jpg", files[0][1][:-2000]))
        deleted = service.submit(*files)
        answer = requests.delete(f"{service.url}/api/v1/tasks/{deleted}", timeout=10)
        assert answer.status_code < 300, answer.text
        redis.xadd("{plates}:images", {
            "v": 1, "task_id": "direct", "filename": f"{NAME}.png", "image": files[1][1],
        })  # fmt: skip
        redis.xadd("{plates}:images", {"v": 1, "task_id": "direct-broken",
                                       "image": files[1][1][:2000]})  # fmt: skip
        states = [service.wait_final(whole), service.wait_final(broken)]
        wait_until(lambda: len(receiver.callbacks) >= 4, 60, lambda: service.logs)
        assert [state["status"] for state in states] == ["completed", "failed"]
        wait_until(lambda: len(receiver.uploads) == 2, 30, lambda: service.logs)

        results: Any = states[0]["results"]
        assert len(results) == 3
        for result in results:
            assert_clean(service.result(result["url"]))
        for upload in receiver.uploads:
            for image in upload.images.values():
                assert_clean(image)

        def originals() -> list[str]:
            return [str(path) for path in service.storage.rglob("input/*")]

        wait_until(lambda: not originals(), 20, lambda: str(originals()))
        wait_until(lambda: redis.xlen("{plates}:images") == 0, 20, "the stream to be empty")
        for place, content in everything_kept(service, redis).items():
            assert SECRET not in content, place
            assert files[1][1][1000:1100] not in content, place
        assert not list((service.storage / deleted).rglob("*.webp"))

        metrics = "".join(
            requests.get(url, timeout=10).text
            for url in (f"{service.url}/metrics", service.metrics_url("worker"),
                        service.metrics_url("dispatcher"))
        )  # fmt: skip
        for text in (service.logs, metrics):
            assert len(text) > 500
            assert NAME not in text
            assert SECRET.decode() not in text
