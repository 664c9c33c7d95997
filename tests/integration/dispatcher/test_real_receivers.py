"""The receivers of examples/ with the webhooks of a real dispatcher: what they accept and store."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest
from standardwebhooks import Webhook

from consumer.dispatcher.webhook import DeliveryKind, DeliveryState, manifest, webhook_headers
from schemas.contract.names import unique_output_names
from tests.integration.dispatcher.conftest import World, dispatching
from tests.integration.dispatcher.posting import FOREIGN_SECRET, SECRET, TASK_ID, post
from tests.integration.dispatcher.receiver import Receiver, listening
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
    with real_receiver(name, tmp_path_factory.mktemp(name), images_field, SECRET) as receiver:
        yield images_field, receiver


async def test_both_webhooks_of_a_dispatcher_are_stored(
    case: tuple[str, RealReceiver], world: World
) -> None:
    images_field, receiver = case
    images = {"covered_0.webp": b"RIFF zero", "covered_ж.webp": bytes(300_000)}
    settings = world.settings(
        backend_upload_url=receiver.upload_url, backend_callback_url=receiver.callback_url,
        webhook_secret=SECRET, webhook_images_field=images_field, webhook_timeout_seconds=20,
    )  # fmt: skip
    await world.complete_task("both", list(images.items()))
    async with dispatching(settings):
        await world.delivery_state("both", "upload", "delivered")
        await world.delivery_state("both", "callback", "delivered")
    assert receiver.images("both") == images
    state = await world.tasks.state("both")
    assert state is not None
    stored = json.loads(receiver.callback("both"))
    # A typed receiver may write the fields of today that have a default.
    assert type(state).model_validate(stored) == state


async def test_a_receiver_stores_every_image_under_the_name_that_is_signed(
    case: tuple[str, RealReceiver], tmp_path: Path
) -> None:
    images_field, receiver = case
    for _ in range(2):  # a repeat does no harm
        done = await post(receiver.upload_url, tmp_path, FILES, images_field=images_field)
        assert (done.state, done.reason) == (DeliveryState.DELIVERED, "status 204")
    assert receiver.images(TASK_ID) == FILES


@pytest.mark.parametrize("kind", DeliveryKind)
async def test_a_webhook_with_another_secret_is_refused(
    case: tuple[str, RealReceiver], tmp_path: Path, kind: DeliveryKind
) -> None:
    images_field, receiver = case
    url = receiver.upload_url if kind is DeliveryKind.UPLOAD else receiver.callback_url
    got = await post(
        url,
        tmp_path,
        kind=kind,
        images_field=images_field,
        secret=FOREIGN_SECRET,
        task_id="foreign",
    )
    assert (got.state, got.reason) == (DeliveryState.DUE, "status 401")
    assert "foreign" not in receiver.tasks()


# PHP reads the whole request before a program of its own can respond.
@pytest.mark.parametrize(
    "case", [case for case in CASES if case[0] != "php"], ids="-".join, indirect=True
)
async def test_what_is_not_signed_is_refused_before_it_is_read(
    case: tuple[str, RealReceiver], tmp_path: Path
) -> None:
    images_field, receiver = case
    for _ in range(5):
        got = await post(
            receiver.upload_url, tmp_path, LARGE, images_field=images_field, secret=None
        )
        assert got.reason == "status 401"


@dataclass(frozen=True)
class Sent:
    """A request as the dispatcher sends it; `parts` are those of its form, without their frame."""

    headers: dict[str, str]
    body: bytes

    @property
    def boundary(self) -> bytes:
        found = re.search(r"boundary=([^;]+)", self.headers["Content-Type"])
        assert found is not None
        return b"--" + found[1].strip('"').encode()

    @property
    def parts(self) -> list[bytes]:
        return self.body.split(self.boundary)[1:-1]

    def with_parts(self, *parts: bytes) -> "Sent":
        body = self.boundary.join([b"", *parts, b"--\r\n"])
        return replace(self, body=body)

    def signed(self, text: str, *, seconds_ago: float = 0) -> "Sent":
        """Sign the request again, at another time."""
        at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
        signature = webhook_headers([Webhook(SECRET)], self.headers["webhook-id"], text, at)
        return replace(self, headers=self.headers | signature)

    async def send(self, url: str) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=self.body, headers=self.headers) as response,
        ):
            return response.status


async def captured(kind: DeliveryKind, folder: Path, images_field: str, task_id: str) -> Sent:
    """Return a webhook as the dispatcher sends it."""
    async with listening(Receiver()) as receiver:
        await post(receiver.url, folder, TWO, kind=kind, images_field=images_field, task_id=task_id)
    [got] = receiver.received
    names = ("Content-Type", "webhook-id", "webhook-timestamp", "webhook-signature")
    return Sent({name: got.headers[name] for name in names}, got.body)


TWO = {"covered_0.webp": b"first image", "covered_1.webp": b"second image"}
SIGNED = manifest("changed", [(name, sha256(data).hexdigest()) for name, data in TWO.items()])
FIRST_LINES = "\n".join(SIGNED.split("\n")[:2]).encode()

UPLOAD_CHANGES: dict[str, Callable[[Sent], Sent]] = {
    "image": lambda sent: replace(sent, body=sent.body.replace(b"first image", b"other image")),
    "name": lambda sent: replace(sent, body=sent.body.replace(b"covered_0", b"covered_2")),
    "task": lambda sent: replace(sent, body=sent.body.replace(b"changed", b"another")),
    "order": lambda sent: sent.with_parts(sent.parts[0], sent.parts[2], sent.parts[1]),
    "fewer": lambda sent: sent.with_parts(*sent.parts[:2]),
    # The same manifest, with the line of the first image in the task id.
    "line": lambda sent: sent.with_parts(
        sent.parts[0].replace(b"changed", FIRST_LINES), sent.parts[2]
    ),
    "old": lambda sent: sent.signed(SIGNED, seconds_ago=310),
    "future": lambda sent: sent.signed(SIGNED, seconds_ago=-310),
    "id": lambda sent: replace(sent, headers=sent.headers | {"webhook-id": "evt_other"}),
}


async def test_a_changed_upload_is_refused(case: tuple[str, RealReceiver], tmp_path: Path) -> None:
    images_field, receiver = case
    sent = await captured(DeliveryKind.UPLOAD, tmp_path, images_field, "changed")
    got = {
        name: await change(sent).send(receiver.upload_url)
        for name, change in UPLOAD_CHANGES.items()
    }
    assert got == dict.fromkeys(UPLOAD_CHANGES, 401)
    assert not {"changed", "another"} & receiver.tasks()
    assert await sent.signed(SIGNED, seconds_ago=280).send(receiver.upload_url) == 204
    assert receiver.images("changed") == TWO


async def test_a_changed_callback_is_refused(
    case: tuple[str, RealReceiver], tmp_path: Path
) -> None:
    _, receiver = case
    sent = await captured(DeliveryKind.CALLBACK, tmp_path, "images", "called")
    text = sent.body.decode()
    changed = [
        replace(sent, body=sent.body.replace(b"completed", b"failed")),
        sent.signed(text, seconds_ago=310),
        replace(sent, headers=sent.headers | {"webhook-signature": "v1,AAAA v2,x"}),
    ]
    assert [await each.send(receiver.callback_url) for each in changed] == [401] * 3
    assert "called" not in receiver.tasks()
    assert await sent.send(receiver.callback_url) == 204
    assert json.loads(receiver.callback("called"))["status"] == "completed"


async def test_php_refuses_several_images_of_fields_without_brackets(tmp_path: Path) -> None:
    with real_receiver("php", tmp_path, "images", SECRET) as receiver:
        got = await post(receiver.upload_url, tmp_path / "storage", TWO)
        assert got.reason == "status 401"
        one = {"covered_0.webp": b"RIFF"}
        assert (await post(receiver.upload_url, tmp_path / "storage", one)).reason == "status 204"
