"""The operator's commands on a real server and real files, beside tasks in every state."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from redis.asyncio import Redis
from typer.testing import CliRunner

from cli.main import app
from consumer.worker.dead_letters import QuarantiningStore
from schemas.contract.messages import ImageMessage
from schemas.redis.keys import WORKERS_GROUP, Keys
from schemas.redis.task_store import TaskStore
from schemas.storage.layout import input_key
from schemas.storage.storage import Storage

TTL_MS = 48 * 3_600_000


@dataclass
class Bench:
    """What the processes share, and the command line."""

    url: str
    folder: Path
    redis: Redis
    keys: Keys
    tasks: TaskStore
    storage: Storage

    async def cli(self, *arguments: str, **environment: str) -> Result:
        """Run `plate-detect` with these arguments."""
        settings = {
            "REDIS_URL": self.url, "TASKS_STORAGE_URL": self.folder.as_uri(), **environment,
        }  # fmt: skip
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=settings)

    async def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """The rows of a command that goes well, from its --json."""
        done = await self.cli(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]

    async def take(self, task_id: str, content: bytes = b"pixels") -> tuple[str, ImageMessage]:
        """A task of one image that a worker has begun."""
        await self.storage.put(input_key(task_id, 0), content)
        message = ImageMessage(
            task_id=task_id, total=1, object=input_key(task_id, 0), filename=f"{task_id}.jpg"
        )
        await self.tasks.submit(task_id, [message], max_backlog=1000)
        answer: Any = await self.redis.xreadgroup(WORKERS_GROUP, "w", {self.keys.images: ">"})
        entry = answer[0][1][0][0].decode()
        assert await self.tasks.begin(entry, message) == "run"
        return entry, message

    def files(self) -> set[str]:
        """All files of storage."""
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)) for path in paths}

    def keeping(self) -> QuarantiningStore:
        """The store of a worker that keeps the originals of dead letters."""
        return QuarantiningStore(
            self.redis, self.keys, self.storage, task_ttl_ms=TTL_MS, max_bytes=1000
        )


@pytest.fixture
async def bench(redis_server: str, tmp_path: Path) -> AsyncIterator[Bench]:
    keys, folder = Keys("{plates}"), tmp_path / "storage"
    async with Redis.from_url(redis_server) as redis:
        await redis.xgroup_create(keys.images, WORKERS_GROUP, "0", mkstream=True)
        tasks = TaskStore(redis, keys, task_ttl_ms=TTL_MS)
        yield Bench(redis_server, folder, redis, keys, tasks, Storage.open(folder.as_uri()))
