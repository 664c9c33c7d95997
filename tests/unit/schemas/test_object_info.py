"""What is known of an object, as stores describe it."""

from datetime import UTC, datetime

import pytest
from aiohttp import web

from schemas.storage.storage import ObjectInfo


@pytest.mark.parametrize(
    ("written", "tag"),
    [
        ('"5d41402a-2"', "5d41402a-2"),
        ("5d41402a", "5d41402a"),
        ('W/"5d41402a"', None),  # of a proxy that compresses: not for exactly these bytes
        ('"two words"', None),
        ('""', None),
        (None, None),
    ],
)
def test_only_a_strong_and_valid_tag_is_handed_on(written: str | None, tag: str | None) -> None:
    meta = {"e_tag": written, "last_modified": datetime.now(UTC), "size": 1}
    info = ObjectInfo.from_meta(meta)  # type: ignore[arg-type]
    assert info.etag == tag
    web.StreamResponse().etag = info.etag  # raises for what is no tag
