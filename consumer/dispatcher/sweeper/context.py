"""What the jobs of a sweep share: connections, settings, progress and failures."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumer.dispatcher.deliveries import milliseconds
from consumer.health import Health
from consumer.metrics import DispatcherMetrics
from consumer.settings import DispatcherSettings
from schemas.logs import described
from schemas.redis.corrections import CorrectionStore
from schemas.redis.keys import Keys
from schemas.redis.task_store import TaskStore
from schemas.retry import StoppedError, concerns_one
from schemas.storage.storage import Storage, StorageError, StorageTimeoutError

log = structlog.get_logger()

PAGE = 200
"""Tasks that one round trip asks for."""

STEP_SECONDS = 900.0
"""Maximum time between two steps of a job: a listing may contain many files of no task."""


@dataclass(slots=True)
class SweepContext:
    """Connections and settings of all jobs. `stop` ends a sweep at its next step."""

    redis: Redis
    keys: Keys
    storage: Storage
    tasks: TaskStore
    corrections: CorrectionStore
    metrics: DispatcherMetrics
    health: Health
    settings: DispatcherSettings
    stop: asyncio.Event
    failed: dict[str, dict[str, Exception]] = field(default_factory=dict)
    """Failures of the current pass by job and item; of the whole job under the item ``""``."""

    def step(self) -> None:
        """Report progress before each piece of work.

        Raises:
            StoppedError: the process is stopping. The next sweep finds what is left.
        """
        self.health.beat("sweep", self.settings.sweep_interval_seconds + STEP_SECONDS)
        if self.stop.is_set():
            raise StoppedError

    async def now_ms(self) -> int:
        """Return the time of the server, in milliseconds since the epoch."""
        return milliseconds(await self.redis.time())

    @contextmanager
    def job(self, name: str) -> Iterator[None]:
        """Isolate a job, and log in one line which of its items fail since this pass."""
        before = self.failed.get(name, {})
        failed = self.failed[name] = {}
        try:
            with self.isolated(name):
                yield
        except Exception:
            self.failed[name] = before
            raise
        new = sorted(failed.keys() - before.keys())
        if new:
            log.warning(
                "left out of the sweep", job=name, count=len(failed), first=new[0],
                error=described(failed[new[0]]),
            )  # fmt: skip

    @contextmanager
    def isolated(self, job: str, item: str = "") -> Iterator[None]:
        """Go on after a failure of one item, or of a whole job.

        What any other item would meet as well, such as a missing right or a full server, ends the
        job; what every job would meet, such as a lost connection, ends the sweep.
        """
        try:
            yield
        except Exception as error:
            if not _is_isolated(error, is_job=not item):
                raise
            self.metrics.sweep_failures.labels(job).inc()
            self.failed[job][item] = error


def _is_isolated(error: Exception, *, is_job: bool) -> bool:
    if is_job:
        return isinstance(error, ResponseError) or concerns_one(error)
    if isinstance(error, StorageError):
        # After a timeout, each of the other items would wait as long.
        return not isinstance(error, StorageTimeoutError)
    return concerns_one(error)
