"""Storage in Azure's emulator: whole objects, streams, deletions in batches, signed addresses."""

import base64
import hashlib
import hmac
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import aiohttp
import pytest
import requests
from yarl import URL

from schemas.storage.parts import PART_BYTES
from schemas.storage.storage import Storage, StorageError
from tests.support.ports import free_port
from tests.support.programs import needed_program, skip_without
from tests.support.service import ROOT, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

AZURITE = ROOT / "tests/azurite/node_modules/azurite/dist/src/blob/main.js"
# The emulator's own account, which is in its documentation.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CONTAINER = "plates"
RESULT = "t1/output/covered_0.webp"


def make_container(endpoint: str) -> None:
    date = format_datetime(datetime.now(UTC), usegmt=True)
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06"}
    lines = [f"{name}:{value}" for name, value in headers.items()]
    text = "\n".join(
        ["PUT", *[""] * 11, *lines, f"/{ACCOUNT}/{ACCOUNT}/{CONTAINER}", "restype:container"]
    )
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    url = f"{endpoint}/{CONTAINER}?restype=container"
    assert requests.put(url, headers=headers, timeout=10).status_code == 201


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node = needed_program("node")
    if not AZURITE.exists():
        skip_without("azurite is not installed: npm ci --prefix tests/azurite")
    port = free_port()
    process = subprocess.Popen(
        [
            node, str(AZURITE), "--inMemoryPersistence", "--disableTelemetry", "--silent",
            "--skipApiVersionCheck", "--blobPort", str(port),
        ],
        cwd=tmp_path_factory.mktemp("azurite"), stdout=subprocess.DEVNULL,
    )  # fmt: skip

    def responds() -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{port}", timeout=5).status_code > 0
        except requests.RequestException:
            return False

    try:
        wait_until(responds, 60, "azurite")
        address = f"http://127.0.0.1:{port}/{ACCOUNT}"
        make_container(address)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def storage(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A storage whose variables are in `.env`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(
        f"AZURE_STORAGE_ACCOUNT_NAME={ACCOUNT}\nAZURE_STORAGE_ACCOUNT_KEY='{KEY}'\n"
        f"AZURE_STORAGE_ENDPOINT={endpoint}\n"
    )
    return Storage.open(f"az://{CONTAINER}/service")


async def test_objects_are_written_described_and_read(storage: Storage) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * (PART_BYTES - 1)

    await storage.put(RESULT, b"covered")
    await storage.put("t1/input/0", chunks())
    assert await storage.get(RESULT, max_bytes=7) == b"covered"
    assert await storage.size("t1/input/0") == 3 * (PART_BYTES - 1)
    assert (await storage.describe(RESULT)).etag
    with pytest.raises(FileNotFoundError):
        await storage.get("t1/input/1", max_bytes=7)
    await storage.check()


async def test_a_batch_is_deleted_although_an_object_is_missing(storage: Storage) -> None:
    keys = [f"t2/input/{number}" for number in range(storage.delete_batch + 20)]
    for key in keys:
        await storage.put(key, b"x")
    await storage.delete("t2/input/missing", *keys)
    assert [key async for key, _ in storage.list("t2/")] == []


async def test_a_signed_address_gives_a_result_without_credentials(storage: Storage) -> None:
    await storage.put(RESULT, b"covered")
    url = URL(await storage.signed_url(RESULT) or "", encoded=True)
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert (response.status, await response.read()) == (200, b"covered")
        assert response.content_type == "image/webp"


@pytest.mark.usefixtures("storage")
async def test_a_missing_container_is_not_a_missing_object() -> None:
    storage = Storage.open("az://nowhere/service")
    with pytest.raises(StorageError, match="ContainerNotFound"):
        await storage.get(RESULT, max_bytes=7)
