"""Submitting images to a service in tasks, waiting for these, and fetching their results."""

import asyncio
import hashlib
import random
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.images.outcomes import Outcome, Outcomes
from cli.images.results_folder import CANNOT_WRITE, ResultsFolder, sha256_of
from cli.images.service import LocalFileError, RefusedError, Service, ServiceError
from cli.images.sources import CANNOT_READ, Fault, Source
from cli.images.upload import UnreadableError
from schemas.contract.tasks import ImageResult, TaskState

TASKS_AT_A_TIME = 4
MAX_TASK_BYTES = 200 << 20
"""Of the files of one task: an upload has a time limit."""
NO_PROGRESS = "no_progress"
"""Code of images whose task did not change for too long."""

_POLL_SECONDS = (0.3, 3.0)


@dataclass(frozen=True, slots=True)
class Item:
    """One image to submit. ``output`` and ``sha256``: only if its result is to be written."""

    source: Source
    output: Path | None = None
    sha256: str = ""


class NoProgressError(Exception):
    """A task has not changed for too long."""


def made_by(address: str) -> str:
    """Return the digest that results of a service are noted with."""
    return hashlib.sha256(f"service {address}".encode()).hexdigest()


class Submitter:
    """Submits images, several tasks at a time.

    Args:
        folder: where results are written; None: nowhere.
        max_files: images of one task at most.
        waits: whether to wait for the end of each task.
        patience: seconds without any change after which a task is not waited for any more.
    """

    def __init__(
        self,
        service: Service,
        folder: ResultsFolder | None,
        outcomes: Outcomes,
        *,
        max_files: int,
        waits: bool,
        patience: float,
    ) -> None:
        self._service, self._folder, self._outcomes = service, folder, outcomes
        self._max_files, self._waits, self._patience = max_files, waits, patience

    async def run(self, sources: list[Source]) -> None:
        """Submit all sources; one that fails stops no other. Raises ServiceError."""
        outputs: dict[Path, Path | Fault] = {}
        if self._folder is not None:
            outputs = await asyncio.to_thread(self._folder.assign, sources)
        batches = self._batches(iter(sources), outputs)
        taking = asyncio.Lock()  # one worker at a time reads on

        async def work() -> None:
            while True:
                async with taking:
                    batch = await anext(batches, None)
                if batch is None:
                    return
                await self._submit(batch)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(TASKS_AT_A_TIME):
                    group.create_task(work())
        except* ServiceError as errors:
            raise errors.exceptions[0] from None

    async def _batches(
        self, sources: Iterator[Source], outputs: dict[Path, Path | Fault]
    ) -> AsyncIterator[list[Item]]:
        batch: list[Item] = []
        batch_bytes = 0
        for source in sources:
            item, size = await asyncio.to_thread(self._examined, source, outputs)
            if isinstance(item, Outcome):
                self._outcomes.add(item)
                continue
            if batch and (len(batch) == self._max_files or batch_bytes + size > MAX_TASK_BYTES):
                yield batch
                batch, batch_bytes = [], 0
            batch.append(item)
            batch_bytes += size
        if batch:
            yield batch

    def _examined(
        self, source: Source, outputs: dict[Path, Path | Fault]
    ) -> tuple[Item | Outcome, int]:
        """Return what to submit and its bytes, or the outcome of what need not be submitted."""
        output = source.fault or outputs.get(source.path)
        if isinstance(output, Fault):
            return Outcome(source, "failed", fault=output), 0
        try:
            size = source.path.stat().st_size
            if self._folder is None or output is None:
                return Item(source), size
            digest = sha256_of(source.path)
        except OSError as error:
            return _failed(source, CANNOT_READ, error.strerror or str(error)), 0
        done = self._folder.done(output, digest)
        if done is not None:
            return Outcome(source, "unchanged", output, result=done), 0
        return Item(source, output, digest), size

    async def _submit(self, items: list[Item]) -> None:
        """Submit a task; halve one that is refused until only the images that cause it are."""
        if not items:
            return
        try:
            task_id = await self._service.submit(
                [item.source for item in items], key=str(uuid.uuid4())
            )
        except UnreadableError as error:
            self._outcomes.add(_failed(error.source, CANNOT_READ, str(error)))
            await self._submit([item for item in items if item.source != error.source])
            return
        except RefusedError as error:
            if len(items) == 1:
                self._outcomes.add(_failed(items[0].source, error.code, str(error)))
                return
            middle = len(items) // 2
            if error.code == "too_many_files":
                self._max_files = min(self._max_files, middle)
            await self._submit(items[:middle])
            await self._submit(items[middle:])
            return
        self._outcomes.tell(task_id)
        if self._waits:
            await self._finish(task_id, items)
        else:
            for item in items:
                self._outcomes.add(Outcome(item.source, "submitted", task_id=task_id))

    async def _finish(self, task_id: str, items: list[Item]) -> None:
        try:
            state = await self._final(task_id)
        except (NoProgressError, RefusedError) as error:
            code = error.code if isinstance(error, RefusedError) else NO_PROGRESS
            for item in items:
                self._outcomes.add(_failed(item.source, code, str(error), task_id))
            return
        for item, result in _matched(items, state):
            self._outcomes.add(
                _failed(item.source, result.code, result.detail, task_id)
                if isinstance(result, Fault)
                else await self._fetch(task_id, item, result)
            )

    async def _final(self, task_id: str) -> TaskState:
        now = asyncio.get_running_loop().time
        pause, done, changed = _POLL_SECONDS[0], -1, now()
        while True:
            state = await self._service.state(task_id)
            if state.status.is_final:
                return state
            if state.progress.done != done:
                pause, done, changed = _POLL_SECONDS[0], state.progress.done, now()
            elif now() - changed > self._patience:
                raise NoProgressError(
                    f"task {task_id} has not changed for {self._patience:g} s:"
                    f" {done} of {state.progress.total} images are done"
                )
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
            pause = min(pause * 1.5, _POLL_SECONDS[1])

    async def _fetch(self, task_id: str, item: Item, result: ImageResult) -> Outcome:
        described = result.model_dump(mode="json", exclude={"index", "url"})
        if self._folder is None or item.output is None:
            return Outcome(item.source, "covered", result=described, task_id=task_id)
        try:
            with self._folder.writing(item.output) as file:
                await self._service.download(task_id, result.filename, file)
            self._folder.note(item.source, item.output, item.sha256, described)
        except RefusedError as error:
            return _failed(item.source, error.code, str(error), task_id)
        except LocalFileError as error:
            return _failed(item.source, CANNOT_WRITE, str(error), task_id)
        except OSError as error:
            return _failed(item.source, CANNOT_WRITE, error.strerror or str(error), task_id)
        return Outcome(item.source, "covered", item.output, result=described, task_id=task_id)


def _matched(items: Sequence[Item], state: TaskState) -> Iterator[tuple[Item, ImageResult | Fault]]:
    """Yield each image with its result or error: results are in the order of the images."""
    errors = {error.index: Fault(error.code, error.detail) for error in state.errors}
    results = iter(state.results)
    for index, item in enumerate(items):
        missing = Fault(NO_PROGRESS, "the service names no result and no error")
        yield item, errors.get(index) or next(results, missing)


def _failed(source: Source, code: str, detail: str, task_id: str | None = None) -> Outcome:
    return Outcome(source, "failed", fault=Fault(code, detail), task_id=task_id)
