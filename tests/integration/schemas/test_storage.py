"""Storage that falls silent is given up, in the middle of a file too; a slow sender is not."""

import asyncio
import os
import re
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from obstore.store import HTTPStore, S3Store

from schemas.storage import local_files
from schemas.storage import storage as module
from schemas.storage.storage import Storage, StorageError, StorageTimeoutError
from tests.support.disks import mount, small_disk, unmount

pytestmark = pytest.mark.integration

LIMIT = 0.5


@pytest.fixture(autouse=True)
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALL_SECONDS", LIMIT)


@pytest.fixture
def local(tmp_path: Path) -> Storage:
    return Storage.open((tmp_path / "local").as_uri())


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """URL of a server that answers each request with these bytes, then falls silent."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        ended.set()
        server.close()


HALF = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\nETag: \"1\"\r\n"
    b"Last-Modified: Thu, 01 Jan 2026 12:00:00 GMT\r\n\r\n" + b"x" * 1_500_000
)  # fmt: skip


def remote(url: str) -> Storage:
    return Storage(HTTPStore(url, client_options={"allow_http": True}))


async def test_a_file_that_stops_midway_is_given_up() -> None:
    async with answering(HALF) as url, asyncio.timeout(10):
        chunks = remote(url).stream("t/input/0")
        assert await anext(chunks)
        with pytest.raises(StorageTimeoutError):
            [chunk async for chunk in chunks]


async def test_a_copy_whose_source_stops_midway_is_given_up_and_leaves_nothing(
    local: Storage, tmp_path: Path
) -> None:
    async with answering(HALF) as url, asyncio.timeout(10):
        with pytest.raises(StorageTimeoutError):
            await local.put("t/quarantine/1-0", remote(url).stream("t/input/0"))
    assert not [name for _, _, names in os.walk(tmp_path) for name in names]


async def test_a_streamed_write_that_nobody_takes_is_given_up() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"

    async with answering(b"") as url, asyncio.timeout(10):
        bucket = S3Store(
            "b", endpoint=url, access_key_id="k", secret_access_key="s",
            client_options={"allow_http": True},
        )  # fmt: skip
        with pytest.raises(StorageTimeoutError):
            await Storage(bucket).put("t/input/0", pieces())


async def test_a_slow_sender_has_all_its_time(local: Storage) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(LIMIT * 1.5)
            yield b"piece"

    await local.put("t/input/0", pieces())
    assert await local.get("t/input/0", max_bytes=100) == b"piece" * 3


@pytest.mark.parametrize("call", ["delete_empty_folders", "delete_partial"])
async def test_a_file_system_that_hangs_is_given_up(
    local: Storage, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    back = threading.Event()
    monkeypatch.setattr(local_files, call, lambda *_: back.wait(30))
    asked = (
        local.delete_prefix("t/")
        if call == "delete_empty_folders"
        else local.delete_partial("t/", datetime.now(UTC))
    )
    try:
        async with asyncio.timeout(10):
            with pytest.raises(StorageTimeoutError):
                await asked
    finally:
        back.set()


@pytest.mark.parametrize("name", ["a.webp", "мой файл?#%.webp", "a%20b", "..a", "a b"])
async def test_an_object_is_described_as_the_store_describes_it(local: Storage, name: str) -> None:
    """What is told without opening it: a client may hold the one against the other."""
    key = f"t1/output/{name}"
    await local.put(key, b"covered")
    described = await local.describe(key)
    assert described == (await local.open_object(key)).info
    assert described.size == 7
    await local.put(key, b"another")
    assert (await local.describe(key)).etag != described.etag


@pytest.mark.parametrize("key", ["t1/output/b", "t1/output", "t1/output/a/b", "t2/output/a"])
async def test_what_is_no_object_is_not_described(local: Storage, key: str) -> None:
    await local.put("t1/output/a", b"covered")
    with pytest.raises(FileNotFoundError):
        await local.describe(key)


async def test_a_disk_that_is_away_is_no_empty_folder(tmp_path: Path) -> None:
    folder = tmp_path / "storage"
    folder.mkdir()
    with small_disk(tmp_path / "disk", 1):
        mount("--bind", str(tmp_path / "disk"), str(folder))
        storage = Storage.open(folder.as_uri())
        await storage.put("t1/input/0", b"original")
        unmount(folder)
        for read in (
            storage.get("t1/input/0", max_bytes=9),
            storage.size("t1/input/0"),
            storage.describe("t1/input/0"),
        ):
            with pytest.raises(StorageError):
                await read
        with pytest.raises(StorageError):
            await anext(storage.stream("t1/input/0"))
        with pytest.raises(StorageError):
            await storage.open_object("t1/input/0")
        with pytest.raises(StorageError):
            await storage.put("t1/output/0.webp", b"RIFF")
        assert not list(folder.iterdir()), "what is written now would be hidden by the disk"
        mount("--bind", str(tmp_path / "disk"), str(folder))
        try:
            assert await storage.get("t1/input/0", max_bytes=9) == b"original"
            with pytest.raises(FileNotFoundError):
                await storage.get("t1/input/1", max_bytes=9)
        finally:
            unmount(folder)


async def test_a_folder_that_was_deleted_is_made_again(local: Storage, tmp_path: Path) -> None:
    await local.put("t1/input/0", b"original")
    shutil.rmtree(tmp_path)
    with pytest.raises(FileNotFoundError):
        await local.size("t1/input/0")
    await local.put("t1/input/0", b"original")
    assert await local.size("t1/input/0") == 8


@asynccontextmanager
async def bucket() -> AsyncIterator[tuple[S3Store, list[list[str]]]]:
    """A bucket that deletes whatever it is asked to, and the keys of each request."""
    requests: list[list[str]] = []

    async def delete(request: web.Request) -> web.Response:
        keys = re.findall("<Key>(.*?)</Key>", await request.text())
        requests.append(keys)
        deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        body = f'<?xml version="1.0"?><DeleteResult>{deleted}</DeleteResult>'
        return web.Response(text=body, content_type="application/xml")

    app = web.Application(client_max_size=1 << 20)
    app.router.add_post("/b", delete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield S3Store(
            "b", endpoint=f"http://127.0.0.1:{runner.addresses[0][1]}", access_key_id="k",
            secret_access_key="s", client_options={"allow_http": True},
        ), requests  # fmt: skip
    finally:
        await runner.cleanup()


async def test_a_thousand_objects_are_deleted_in_one_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CALL_SECONDS", 30)
    keys = [f"t/input/{number}" for number in range(2500)]
    async with bucket() as (store, requests):
        await Storage(store).delete(*keys)
        await Storage(store).delete()
    assert [len(request) for request in requests] == [1000, 1000, 500]
    assert [key for request in requests for key in request] == keys


async def test_what_is_missing_keeps_nothing_from_being_deleted(local: Storage) -> None:
    keys = [f"t/input/{number}" for number in range(30)]
    for key in keys[::3]:
        await local.put(key, b"x")
    await local.delete(*keys)
    assert [key async for key, _ in local.list("t")] == []
