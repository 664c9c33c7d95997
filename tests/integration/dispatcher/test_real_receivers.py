"""Uploads as real backends read them: every image, under the name that the signature covers."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from consumer.dispatcher.webhook import DeliveryState, manifest
from schemas.contract.names import unique_output_names
from tests.integration.dispatcher.posting import SECRET, TASK_ID, post
from tests.support.receivers import KINDS, RealReceiver, real_receiver

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(180)]

# Names of originals; the service names the results.
CHOSEN = [
    "car.jpg", "a;b;c.jpg", 'a"b.jpg', "a%22b.jpg", "a%0d%0ab.jpg", "100%.jpg", 'x"; name="y.jpg',
    "a\\b.jpg", "a\\\\.jpg", "<b>:|?*.jpg", "Кот на крыше №1.jpg", "日本.jpg", "🚗👩‍👧.jpg",
    "e\u0301 und é.jpg", "\ufeffbom.jpg", "zero\u200bwidth\u2060.jpg", "a\u202egpj.exe",
    "tab\there.jpg", "new\r\nline.jpg", "a\u0000b.jpg", "del\x7f.jpg", " lead and trail .jpg",
    "..dots...jpg", "#1.jpg", "a&b=c+d,e.jpg", "it's $(x) `y` {z} [w] ~!@^.jpg", "utf-8''a.jpg",
    "=?utf-8?B?YQ==?=.jpg", "a', b=c, d.jpg", "CON.jpg", "x" * 300 + ".jpg", "ж" * 300 + ".jpg",
    "a\u2028b\u0085.jpg", "\ue000\ufffe\u0378.jpg", "(comment).jpg", "a\u00a0b\u3000c.jpg",
    "a&amp;b.jpg", "a&copy.jpg", "R&D.jpg", "Screenshot at 3\u202fPM.png",
]  # fmt: skip
NAMES = unique_output_names(CHOSEN)
FILES = {
    name: b"RIFF\r\n--%d\r\n" % at + bytes(range(256)) * (at * 13) if at else b""
    for at, name in enumerate(NAMES)
}
LARGE = {"covered_0.webp": bytes(8_000_000)}

# PHP keeps the last of several fields of one name, unless it ends in `[]`.
CASES = [
    (name, images_field)
    for name in KINDS
    for images_field in ("images", "images[]")
    if (name, images_field) != ("php", "images")
]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, RealReceiver]]:
    """A receiver and the field from which it takes images."""
    name, images_field = request.param
    with real_receiver(name, tmp_path_factory.mktemp(name), images_field) as receiver:
        yield images_field, receiver


async def test_a_receiver_reads_every_image_under_the_name_that_is_signed(
    case: tuple[str, RealReceiver], tmp_path: Path
) -> None:
    images_field, receiver = case
    done = await post(f"{receiver.url}/hook", tmp_path, FILES, images_field=images_field)
    assert (done.state, done.reason) == (DeliveryState.DELIVERED, "status 200")
    read = receiver.read()
    sent = [[name, hashlib.sha256(data).hexdigest()] for name, data in FILES.items()]
    assert read["images"] == sent
    assert read["task_id"] == TASK_ID
    # As a receiver verifies: from nothing but what it has read.
    signed = manifest(read["task_id"], read["images"])
    Webhook(SECRET).verify(signed, read["headers"], json_parse=False)


# PHP reads the whole request before a program of its own can respond.
@pytest.mark.parametrize(
    "case", [case for case in CASES if case[0] != "php"], ids="-".join, indirect=True
)
async def test_a_response_that_comes_before_the_body_was_read_counts(
    case: tuple[str, RealReceiver], tmp_path: Path
) -> None:
    images_field, receiver = case
    for _ in range(5):
        got = await post(f"{receiver.url}/refuse", tmp_path, LARGE, images_field=images_field)
        assert got.reason == "status 401"


async def test_php_reads_only_the_last_image_of_fields_without_brackets(tmp_path: Path) -> None:
    with real_receiver("php", tmp_path, "images") as receiver:
        await post(f"{receiver.url}/hook", tmp_path / "storage", FILES)
        read = receiver.read()
    assert [name for name, _ in read["images"]] == NAMES[-1:]
