"""Storage: time limits of calls, descriptions of objects, missing mounts, deletions."""

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


@pytest.fixture
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALL_SECONDS", LIMIT)


@pytest.fixture
def local(tmp_path: Path) -> Storage:
    return Storage.open((tmp_path / "local").as_uri())


@asynccontextmanager
async def responding(response: bytes) -> AsyncIterator[str]:
    """URL of a server that sends these bytes for each request, and nothing more."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)
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


@pytest.mark.usefixtures("short_calls")
async def test_a_read_that_stops_midway_times_out() -> None:
    async with responding(HALF) as url, asyncio.timeout(10):
        chunks = remote(url).stream("t/input/0")
        assert await anext(chunks)
        with pytest.raises(StorageTimeoutError):
            [chunk async for chunk in chunks]


@pytest.mark.usefixtures("short_calls")
async def test_a_copy_whose_source_stops_midway_times_out_and_leaves_nothing(
    local: Storage, tmp_path: Path
) -> None:
    async with responding(HALF) as url, asyncio.timeout(10):
        with pytest.raises(StorageTimeoutError):
            await local.put("t/quarantine/1-0", remote(url).stream("t/input/0"))
    assert not [name for _, _, names in os.walk(tmp_path) for name in names]


@pytest.mark.usefixtures("short_calls")
async def test_a_write_without_response_times_out() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    async with responding(b"") as url, asyncio.timeout(10):
        bucket = S3Store(
            "b", endpoint=url, access_key_id="k", secret_access_key="s",
            client_options={"allow_http": True},
        )  # fmt: skip
        with pytest.raises(StorageTimeoutError):
            await Storage(bucket).put("t/input/0", chunks())


@pytest.mark.usefixtures("short_calls")
async def test_a_slow_sender_has_no_limit(local: Storage) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(2):
            await asyncio.sleep(LIMIT * 1.2)
            yield b"chunk"

    await local.put("t/input/0", chunks())
    assert await local.get("t/input/0", max_bytes=100) == b"chunk" * 2


@pytest.mark.usefixtures("short_calls")
@pytest.mark.parametrize("call", ["delete_empty_folders", "delete_partial"])
async def test_a_file_system_that_hangs_times_out(
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
async def test_a_description_equals_that_of_the_open_object(local: Storage, name: str) -> None:
    key = f"t1/output/{name}"
    await local.put(key, b"covered")
    described = await local.describe(key)
    assert described == (await local.open_object(key)).info
    assert described.size == 7
    await local.put(key, b"another")
    assert (await local.describe(key)).etag != described.etag


@pytest.mark.parametrize("key", ["t1/output/b", "t1/output", "t1/output/a/b", "t2/output/a"])
async def test_only_objects_are_described(local: Storage, key: str) -> None:
    await local.put("t1/output/a", b"covered")
    with pytest.raises(FileNotFoundError):
        await local.describe(key)


async def test_an_unmounted_disk_is_no_empty_folder(tmp_path: Path) -> None:
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
        assert not list(folder.iterdir()), "the disk would hide new files"
        mount("--bind", str(tmp_path / "disk"), str(folder))
        try:
            assert await storage.get("t1/input/0", max_bytes=9) == b"original"
            with pytest.raises(FileNotFoundError):
                await storage.get("t1/input/1", max_bytes=9)
        finally:
            unmount(folder)


async def test_a_deleted_folder_is_created_again(local: Storage, tmp_path: Path) -> None:
    await local.put("t1/input/0", b"original")
    shutil.rmtree(tmp_path)
    with pytest.raises(FileNotFoundError):
        await local.size("t1/input/0")
    await local.put("t1/input/0", b"original")
    assert await local.size("t1/input/0") == 8


@asynccontextmanager
async def bucket() -> AsyncIterator[tuple[S3Store, list[list[str]]]]:
    """A bucket that deletes all requested keys, and the keys of each request."""
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


async def test_a_thousand_objects_are_deleted_in_one_request() -> None:
    keys = [f"t/input/{number}" for number in range(2500)]
    async with bucket() as (store, requests):
        await Storage(store).delete(*keys)
        await Storage(store).delete()
    assert [len(request) for request in requests] == [1000, 1000, 500]
    assert [key for request in requests for key in request] == keys


async def test_missing_objects_do_not_stop_a_deletion(local: Storage) -> None:
    keys = [f"t/input/{number}" for number in range(30)]
    for key in keys[::3]:
        await local.put(key, b"x")
    await local.delete(*keys)
    assert [key async for key, _ in local.list("t")] == []
