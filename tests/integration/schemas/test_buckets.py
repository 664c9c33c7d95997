"""S3 with its AWS_* variables, and the messages of failing storage."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from schemas.settings.base import SettingsError
from schemas.storage.storage import Storage, StorageError, StorageFullError
from tests.support.certificates import make_certificates
from tests.support.disks import small_disk

pytestmark = pytest.mark.integration

SECRET = "hunter2-secret"
NAME = "t1/output/covered_ivan-petrov.webp"


@pytest.fixture(autouse=True)
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ALLOW_HTTP", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDHUNTER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@asynccontextmanager
async def bucket(
    status: int = 200, code: str = "", context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[str]]]:
    """Address of a server that responds so to all requests, and the keys that signed them."""
    keys: list[str] = []

    async def response(request: web.Request) -> web.Response:
        await request.read()
        keys.append(request.headers["Authorization"].partition("Credential=")[2].split("/")[0])
        body = f"<Error><Code>{code}</Code><Message>{SECRET}</Message></Error>" if code else ""
        return web.Response(status=status, text=body, headers={"ETag": '"1"'})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", response)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        await web.SockSite(runner, listener, ssl_context=context).start()
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", keys
    finally:
        await runner.cleanup()


async def failure(storage: Storage) -> StorageError:
    with pytest.raises(StorageError) as raised:
        await storage.put(NAME, b"x")
    text = str(raised.value)
    assert "\n" not in text
    assert not [part for part in (SECRET, "ivan", "127.0.0.1", "AKID", "://") if part in text]
    return raised.value


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("place", ["environment", ".env"])
async def test_plain_http_needs_only_the_address(
    name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bucket() as (url, keys):
        if place == ".env":
            monkeypatch.delenv("AWS_ACCESS_KEY_ID")
            (tmp_path / ".env").write_text(f"{name}={url}\nAWS_ACCESS_KEY_ID=of-the-file\n")
        else:
            monkeypatch.setenv(name, url)
        await Storage.open("s3://bucket").put(NAME, b"x")
    assert keys == ["of-the-file" if place == ".env" else "AKIDHUNTER"]


async def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bucket() as (url, keys):
        for name in ("AWS_ALLOW_HTTP", "AWS_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT"):
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        await Storage.open("s3://bucket").put(NAME, b"x")
    assert keys


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "minio:9000"), ("AWS_ENDPOINT_URL", "minio"),
        ("AWS_ENDPOINT_URL", "http://minio?a=hunter2"),
        ("AWS_ENDPOINT_URL", "http://"), ("AWS_ENDPOINT_URL", "http://u:hunter2/x@minio"),
        ("AWS_ENDPOINT", "ftp://minio"), ("AWS_ALLOW_HTTP", "maybe"),
    ],
)  # fmt: skip
def test_an_unusable_variable_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"^TASKS_STORAGE_URL cannot be used: {name} must be"):
        Storage.open("s3://bucket")


def test_forbidden_plain_http_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "false")
    with pytest.raises(SettingsError, match="AWS_ALLOW_HTTP must be true, or the endpoint https"):
        Storage.open("s3://bucket")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch"), (403, "AccessDenied"),
        (404, "NoSuchBucket"), (400, "AuthorizationHeaderMalformed"), (503, "SlowDown"),
    ],
)  # fmt: skip
async def test_a_refusal_of_the_server_is_named(
    status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bucket(status, code) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        text = str(await failure(Storage.open("s3://bucket")))
    assert f"{status} " in text
    assert code in text


async def test_a_missing_bucket_is_not_a_missing_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of missing objects fail: a wrong bucket must not fail all images."""
    async with bucket(404, "NoSuchBucket") as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        storage = Storage.open("s3://bucket")
        for call in (storage.size, storage.describe, storage.open_object, storage.delete):
            with pytest.raises(StorageError, match="NoSuchBucket"):
                await call("t1/input/0")
    async with bucket(404, "NoSuchKey") as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(FileNotFoundError):
            await Storage.open("s3://bucket").get("t1/input/0", max_bytes=9)


async def test_a_full_server_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bucket(507, "XMinioStorageFull") as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert isinstance(await failure(Storage.open("s3://bucket")), StorageFullError)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://127.0.0.1:1", "Connection refused"),
        ("https://127.0.0.1:1", "Connection refused"),
        ("http://nowhere.invalid:9000", "cannot be resolved"),
    ],
)
async def test_a_network_error_is_named(
    endpoint: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert words in str(await failure(Storage.open("s3://bucket")))


async def test_an_unknown_certificate_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = make_certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server, certificates.server_key)
    async with bucket(context=context) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert "certificate is not accepted" in str(await failure(Storage.open("s3://bucket")))


async def test_a_server_without_tls_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bucket() as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url.replace("http", "https"))
        assert "does not respond with TLS" in str(await failure(Storage.open("s3://bucket")))


async def test_a_response_that_ends_midway_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"
            b"Last-Modified: Thu, 01 Jan 2026 12:00:00 GMT\r\n\r\nhalf"
        )
        writer.close()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        with pytest.raises(StorageError, match="ended its response in the middle"):
            await Storage.open("s3://bucket").get("t1/input/0", max_bytes=9)


async def test_an_error_of_the_file_system_has_no_path(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "t1").write_text("no folder")
    error = await failure(Storage.open((tmp_path / "storage").as_uri()))
    assert str(error) == "put: GenericError: Not a directory"


async def test_a_file_name_is_not_read_as_a_cause(tmp_path: Path) -> None:
    """The file name looks like the message of a full disk."""
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "t1").write_text("no folder")
    storage = Storage.open((tmp_path / "storage").as_uri())
    with pytest.raises(StorageError) as raised:
        await storage.put("t1/output/covered_a (os error 28).webp", b"x")
    assert not isinstance(raised.value, StorageFullError)


async def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1):
        storage = Storage.open((tmp_path / "disk").as_uri())
        with pytest.raises(StorageFullError, match=r"No space left on device$"):
            await storage.put(NAME, b"x" * (2 << 20))
