"""What Redis does for a task that has ended: its event is read, and its webhook delivered."""

from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import ImageResult
from schemas.redis.task_store import TaskStore
from tests.bench.scale.fill import NO_LIMIT, messages
from tests.bench.scale.server import MeasuredServer
from tests.support.receiver import receiving
from tests.support.service import Service, wait_until

PATIENCE_SECONDS = 60.0


def redis_cpu_per_task(server: MeasuredServer, tasks: int) -> float:
    """CPU seconds of Redis for the event and the callback of one task."""
    server.meter.redis.flushall()

    async def end_tasks(store: TaskStore) -> None:
        for _ in range(tasks):
            await _end(store, messages(1))

    server.with_store(end_tasks)
    with receiving() as receiver:
        service = Service(
            server.redis_url, server.folder, LOG_LEVEL="warning",
            TASKS_STORAGE_URL=server.storage.as_uri(),
            BACKEND_CALLBACK_URL=f"{receiver.url}/callback",
        )  # fmt: skip
        before = server.meter.snapshot()
        try:
            service.start("dispatcher")
            wait_until(
                lambda: len(receiver.callbacks) >= tasks, PATIENCE_SECONDS,
                lambda: f"callbacks\n{service.logs}",
            )  # fmt: skip
        finally:
            service.stop()
    return server.meter.since(before).cpu_seconds / tasks


async def _end(store: TaskStore, task: list[ImageMessage]) -> None:
    message = task[0]
    await store.submit(message.task_id, task, max_backlog=NO_LIMIT)
    # Not of any worker: the entry counts as deleted, which the outcome does not mind.
    result = ImageResult(filename=message.output_name, url="/", needs_review=False)
    await store.finish("0-1", message, result, {})
