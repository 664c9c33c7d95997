"""Work to be done: tasks in the queue, with or without their files in storage."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from schemas.contract.messages import ImageMessage
from schemas.redis.results import SubmitResult
from schemas.redis.task_store import TaskStore
from schemas.storage.layout import input_key
from tests.bench.scale.workers import SIDE
from tests.support.pictures import encoded

IMAGES_PER_TASK = 10
NO_LIMIT = 1 << 40
SUBMITS_AT_ONCE = 16


def picture() -> bytes:
    """A JPEG of the detector's input size."""
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    return encoded(grey, quality=90)


def messages(count: int, *, inline: bytes | None = None) -> list[ImageMessage]:
    """A task of so many images, as the producer writes it; or with the bytes in the entries."""
    task_id = secrets.token_hex(16)
    return [
        ImageMessage(
            v=1, task_id=task_id, index=index, total=count, filename=f"{index}.jpg",
            output=f"covered_{index}.webp", image=inline,
            object=None if inline is not None else input_key(task_id, index),
        )
        for index in range(count)
    ]  # fmt: skip


async def enqueue(
    store: TaskStore,
    images: int,
    *,
    storage: Path | None,
    per_task: int = IMAGES_PER_TASK,
    inline: bytes | None = None,
) -> None:
    """Submit at least so many images; `storage` is the folder that gets their files, if any."""
    data = picture()
    tasks = _tasks(images, per_task, inline)

    async def submit() -> None:
        for task in tasks:
            if storage is not None:
                _write(storage, task, data)
            answer = await store.submit(task[0].task_id, task, max_backlog=NO_LIMIT)
            assert answer is SubmitResult.ACCEPTED, answer

    async with asyncio.TaskGroup() as group:
        for _ in range(SUBMITS_AT_ONCE):
            group.create_task(submit())


def _tasks(images: int, per_task: int, inline: bytes | None) -> Iterator[list[ImageMessage]]:
    for _ in range(-(-images // per_task)):
        yield messages(per_task, inline=inline)


def _write(storage: Path, task: list[ImageMessage], data: bytes) -> None:
    for message in task:
        assert message.object is not None
        path = storage / message.object
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
