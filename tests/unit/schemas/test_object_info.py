"""Entity tags of stored objects."""

from datetime import UTC, datetime

import pytest
from aiohttp import web

from schemas.storage.storage import ObjectInfo


@pytest.mark.parametrize(
    ("written", "tag"),
    [
        ('"5d41402a-2"', "5d41402a-2"),
        ("5d41402a", "5d41402a"),
        ('W/"5d41402a"', None),  # from a proxy that compresses
        ('"two words"', None),
        ('""', None),
        (None, None),
    ],
)
def test_only_a_strong_and_valid_tag_is_used(written: str | None, tag: str | None) -> None:
    meta = {"e_tag": written, "last_modified": datetime.now(UTC), "size": 1}
    info = ObjectInfo.from_meta(meta)  # type: ignore[arg-type]
    assert info.etag == tag
    web.StreamResponse().etag = info.etag  # raises ValueError for an invalid tag
