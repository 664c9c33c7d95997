"""What a receiver gets: bodies that common parsers read alike, signatures that verify."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from aiohttp import ClientSession, MultipartReader, StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook, WebhookVerificationError

from consumer.dispatcher.connections import open_session
from consumer.dispatcher.webhook import (
    AttemptResult,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Endpoint,
    WebhookSender,
)
from schemas.storage.layout import output_key
from schemas.storage.storage import Storage
from tests.integration.dispatcher.posting import uncorrected
from tests.integration.dispatcher.receiver import Receiver, listening, respond

pytestmark = pytest.mark.integration

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FILES = {
    "covered_Кот на крыше.webp": b"RIFF\r\n--" + bytes(range(256)) * 5000,
    'covered_quote"d;name=x.webp': b"",
    "covered_日本 100%.webp": b"small",
}
DOCUMENTATION = Path(__file__).parents[3].joinpath("docs", "webhooks.md").read_text("utf-8")
Form = tuple[dict[str, str], list[tuple[str, str, bytes]]]
"""Plain fields by name, then file parts: name, content type, content."""


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with open_session() as opened:
        yield opened


@pytest.fixture
async def storage(tmp_path: Path) -> Storage:
    opened = Storage.open(tmp_path.as_uri())
    for name, data in FILES.items():
        await opened.put(output_key("t1", name), data)
    return opened


def delivery(kind: DeliveryKind) -> Delivery:
    results = [{"filename": name, "url": "/x"} for name in FILES]
    state = {
        "task_id": "t1", "status": "completed", "results": results, "errors": [],
        "progress": {"done": len(FILES), "total": len(FILES)},
    }  # fmt: skip
    payload = json.dumps(state, ensure_ascii=False).encode()
    return Delivery(f"evt_t1_{kind}", kind, "task.completed", "t1", payload)


async def post(
    session: ClientSession, storage: Storage, receiver: Receiver | str, kind: DeliveryKind,
    *secrets: str,
) -> AttemptResult:  # fmt: skip
    url = receiver if isinstance(receiver, str) else receiver.url
    endpoint = Endpoint(kind, url, total_seconds=10, idle_seconds=5)
    signers = [Webhook(one) for one in secrets]
    return await WebhookSender(endpoint, session, storage, uncorrected, signers).send(
        delivery(kind)
    )


async def by_aiohttp(content_type: str, body: bytes) -> Form:
    stream = StreamReader(
        BaseProtocol(asyncio.get_running_loop()), 2**26, loop=asyncio.get_running_loop()
    )
    stream.feed_data(body)
    stream.feed_eof()
    fields: dict[str, str] = {}
    files = []
    async for part in MultipartReader({"Content-Type": content_type}, stream):
        if part.filename is None:
            fields[part.name] = await part.text()
        else:
            assert part.name == "images"
            files.append((part.filename, part.headers["Content-Type"], bytes(await part.read())))
    return fields, files


async def by_email(content_type: str, body: bytes) -> Form:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    fields: dict[str, str] = {}
    files = []
    for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
        name = part.get_filename()
        content = part.get_payload(decode=True)
        if name is None:
            fields[part.get_param("name", header="content-disposition")] = content.decode()
        else:
            raw = name.encode("utf-8", "surrogateescape").decode()
            files.append((raw, part.get_content_type(), content))
    return fields, files


async def by_python_multipart(content_type: str, body: bytes) -> Form:
    """The parser of FastAPI and Starlette."""
    parser = pytest.importorskip("python_multipart")
    fields: dict[str, str] = {}
    files = []

    def on_file(file: object) -> None:
        file.file_object.seek(0)
        assert file.field_name == b"images"
        files.append((file.file_name.decode(), "image/webp", file.file_object.read()))
        file.close()

    form = parser.create_form_parser(
        {"Content-Type": content_type.encode()},
        lambda field: fields.update({field.field_name.decode(): field.value.decode()}),
        on_file,
    )
    form.write(body)
    form.finalize()
    return fields, files


@pytest.mark.parametrize("parse", [by_aiohttp, by_email, by_python_multipart])
async def test_parsers_read_names_types_and_contents_of_an_upload(
    session: ClientSession, storage: Storage, parse: Callable
) -> None:
    async with listening(Receiver()) as receiver:
        await post(session, storage, receiver, DeliveryKind.UPLOAD)
    [got] = receiver.received
    if parse is by_email:
        # The email parser changes line ends of binary parts; only names and types are compared.
        fields, files = await parse(got.headers["Content-Type"], got.body)
        assert [file[:2] for file in files] == [(name, "image/webp") for name in FILES]
    else:
        fields, files = await parse(got.headers["Content-Type"], got.body)
        assert files == [(name, "image/webp", data) for name, data in FILES.items()]
    assert fields == {"task_id": "t1"}


async def test_an_upload_has_a_length_and_is_not_chunked(
    session: ClientSession, storage: Storage
) -> None:
    async with listening(Receiver()) as receiver:
        done = await post(session, storage, receiver, DeliveryKind.UPLOAD)
    assert done.state is DeliveryState.DELIVERED
    [got] = receiver.received
    assert int(got.headers["Content-Length"]) == len(got.body)
    assert "Transfer-Encoding" not in got.headers
    assert got.headers["webhook-id"] == "evt_t1_upload"
    assert "webhook-signature" not in got.headers
    assert "Cookie" not in got.headers


async def test_a_callback_is_signed_over_its_body(session: ClientSession, storage: Storage) -> None:
    async with listening(Receiver()) as receiver:
        await post(session, storage, receiver, DeliveryKind.CALLBACK, SECRET)
    [got] = receiver.received
    assert Webhook(SECRET).verify(got.body, dict(got.headers))["task_id"] == "t1"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(got.body + b" ", dict(got.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_b3RoZXI=").verify(got.body, dict(got.headers))


async def test_an_upload_is_signed_over_its_manifest(
    session: ClientSession, storage: Storage
) -> None:
    async with listening(Receiver()) as receiver:
        await post(session, storage, receiver, DeliveryKind.UPLOAD, SECRET)
    [got] = receiver.received
    fields, files = await by_aiohttp(got.headers["Content-Type"], got.body)
    lines = [fields["task_id"]]
    lines += [f"{name} {hashlib.sha256(data).hexdigest()}" for name, _, data in files]
    Webhook(SECRET).verify("\n".join(lines), dict(got.headers), json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify("\n".join(lines[:-1]), dict(got.headers), json_parse=False)


async def test_the_documented_receiver_verifies_an_upload(
    session: ClientSession, storage: Storage
) -> None:
    [code] = re.findall(r"(?ms)^```python\n(async def verified_images.*?)^```$", DOCUMENTATION)
    names: dict[str, Any] = {"hashlib": hashlib, "standardwebhooks": standardwebhooks}
    exec(code, names)  # as in docs/webhooks.md
    verified = []

    async def receive(request: web.Request) -> web.Response:
        verified.append(await names["verified_images"](request, SECRET))
        return web.Response()

    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/hook", receive)
    async with TestServer(app) as server:
        url = str(server.make_url("/hook"))
        done = await post(session, storage, url, DeliveryKind.UPLOAD, SECRET)
    assert done.state is DeliveryState.DELIVERED
    assert verified == [FILES]


async def test_proxies_and_netrc_of_the_environment_are_not_used(
    session: ClientSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with listening(Receiver()) as receiver:
        done = await post(session, storage, receiver, DeliveryKind.CALLBACK)
    assert done.state is DeliveryState.DELIVERED


async def test_cookies_of_a_receiver_are_not_kept(session: ClientSession, storage: Storage) -> None:
    async with listening(Receiver(respond(200, Set_Cookie="a=b; Path=/"))) as receiver:
        # By name: no jar keeps the cookies of a bare address.
        for _ in range(2):
            url = f"http://localhost:{receiver.port}/"
            await post(session, storage, url, DeliveryKind.CALLBACK)
    assert ["Cookie" in got.headers for got in receiver.received] == [False, False]


async def test_each_attempt_has_a_connection_of_its_own(
    session: ClientSession, storage: Storage
) -> None:
    """One that is used again might be closed by the receiver at that moment."""
    async with listening(Receiver()) as receiver:
        for _ in range(3):
            await post(session, storage, receiver, DeliveryKind.CALLBACK)
    assert len({got.peer for got in receiver.received}) == 3


async def test_a_file_that_shrinks_under_way_is_a_failure_not_a_success(
    session: ClientSession, tmp_path: Path
) -> None:
    class Shrinking(Storage):
        async def size(self, key: str) -> int:
            return await super().size(key) + 10

    shrinking = Shrinking.open(tmp_path.as_uri())
    for name, data in FILES.items():
        await shrinking.put(output_key("t1", name), data)
    async with listening(Receiver()) as receiver:
        endpoint = Endpoint(DeliveryKind.UPLOAD, receiver.url, total_seconds=1, idle_seconds=0.5)
        sender = WebhookSender(endpoint, session, shrinking, uncorrected, ())
        got = await sender.send(delivery(DeliveryKind.UPLOAD))
    assert got.state is DeliveryState.DUE
    assert receiver.received == []
