"""The client with the oldest packages that its pyproject.toml allows, and a real producer."""

import asyncio
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.integration.client.conftest import RunningProducer
from tests.integration.producer.conftest import eventually
from tests.support.programs import skip_without
from tests.support.tables import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

CLIENT = ROOT / "client"

_PROGRAM = """
import asyncio, hashlib, io, sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from standardwebhooks.webhooks import Webhook

from plate_detect_client import AsyncClient, Client, NotFoundError, RequestError, Webhooks
from plate_detect_client.stream import publish, publish_async

url, redis_url, folder, *pins = sys.argv[1:]
for pin in pins:
    name, _, number = pin.partition("==")
    assert version(name).startswith(number), (name, version(name))

with Client(url) as client:
    task_id = client.submit([("a.jpg", b"\\xff\\xd8\\xff\\xe0" + bytes(1000))])
    state = client.wait(task_id, timeout_seconds=60)
    assert [data for _, data in client.results(state)] == [b"covered"]
    (path,) = client.save_results(state, folder)
    assert path.read_bytes() == b"covered"
    client.delete(task_id)
    try:
        client.submit([("a.gif", b"GIF89a")])
    except RequestError as error:
        assert error.problem.status == 415
    else:
        raise AssertionError("a GIF is refused")

async def main():
    async with AsyncClient(url) as client:
        try:
            await client.status("unknown")
        except NotFoundError:
            pass
        else:
            raise AssertionError("there is no such task")
        task_id = await client.submit([("a.jpg", b"\\xff\\xd8\\xff\\xe0")])
        state = await client.wait(task_id, timeout_seconds=60)
        with (Path(folder) / "own").open("w+b") as file:
            await client.fetch_into(task_id, state.results[0].filename, file)
        assert (Path(folder) / "own").read_bytes() == b"covered"
    async with AsyncRedis.from_url(redis_url) as redis:
        await publish_async(redis, [("b.jpg", b"x")])

asyncio.run(main())
with Redis.from_url(redis_url) as redis:
    publish(redis, [("c.jpg", b"x")])

secret, at = "whsec_b2xkIHNlY3JldA==", datetime.now(UTC)
text = "t1\\na.webp " + hashlib.sha256(b"x").hexdigest()
headers = {
    "webhook-id": "e1", "webhook-timestamp": str(int(at.timestamp())),
    "webhook-signature": Webhook(secret).sign("e1", at, text),
}
Webhooks(secret).upload(headers, "t1", [("a.webp", io.BytesIO(b"x"))])
"""


def oldest() -> list[str]:
    """Return the lower bounds as pins."""
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"]["redis"]]
    return [
        f"{needed.name}=={each.version}"
        for needed in map(Requirement, texts)
        for each in needed.specifier
        if each.operator == ">="
    ]


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with the oldest packages, which come before the installed ones."""
    folder = tmp_path / "packages"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, *oldest()],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    if done.returncode:
        skip_without(f"the oldest packages cannot be installed: {done.stderr[-500:]}")
    return folder


async def test_all_calls_work(producer: RunningProducer, redis_server: str, packages: Path) -> None:
    out = packages.with_name("out")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, producer.url, redis_server, out, *oldest(),
        env={"PYTHONPATH": f"{packages}:{CLIENT}"}, stderr=subprocess.PIPE,
    )  # fmt: skip

    async def is_submitted() -> bool:
        return process.returncode is not None or bool(await producer.messages())

    for _ in range(2):
        await eventually(is_submitted, 60)
        if process.returncode is None:
            await producer.finish_next()
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert not process.returncode, errors.decode()
    entries = await producer.redis.xrange(producer.keys.images)
    assert [fields[b"filename"] for _, fields in entries] == [b"b.jpg", b"c.jpg"]
