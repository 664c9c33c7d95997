"""Which first bytes are taken for an image."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from producer.uploads.formats import is_image


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_real_images(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (3, 2)).save(file, kind)
    assert is_image(file.getvalue())
    assert is_image(file.getvalue()[:12])


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM"])
def test_other_images(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (32, 32)).save(file, kind)
    assert not is_image(file.getvalue())


@given(st.binary(max_size=40))
def test_anything_else(head: bytes) -> None:
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")
    if not head.startswith(starts):
        assert not is_image(head)
    assert not is_image(b"RIFF" + head[:3] + b"\x00WAVE")
