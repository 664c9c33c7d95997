"""Submitting images to a service in tasks, waiting for these, and fetching their results."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cli.images.outcomes import Outcome, Outcomes
from cli.images.results_folder import CANNOT_WRITE, ResultsFolder, sha256_of
from cli.images.service import refusal
from cli.images.sources import CANNOT_READ, Fault, Source
from plate_detect_client import (
    AsyncClient,
    ImageResult,
    PlateDetectError,
    TaskState,
    WaitTimeoutError,
)
from schemas.contract.formats import HEAD_BYTES, accepted_format

TASKS_AT_A_TIME = 4
MAX_TASK_BYTES = 200 << 20
"""Of the files of one task: an upload has a time limit."""
NO_PROGRESS = "no_progress"
"""Code of images whose task did not change for too long."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image to submit. ``output`` and ``sha256``: only if its result is to be written."""

    source: Source
    output: Path | None = None
    sha256: str = ""


def made_by(address: str) -> str:
    """Return the digest that results of a service are noted with."""
    return hashlib.sha256(f"service {address}".encode()).hexdigest()


class Submitter:
    """Submits images, several tasks at a time, with a client that repeats its calls.

    Args:
        folder: where results are written; None: nowhere.
        max_files: images of one task at most.
        waits: whether to wait for the end of each task.
        patience: seconds without any change after which a task is not waited for any more.
    """

    def __init__(
        self,
        client: AsyncClient,
        folder: ResultsFolder | None,
        outcomes: Outcomes,
        *,
        max_files: int,
        waits: bool,
        patience: float,
    ) -> None:
        self._client, self._folder, self._outcomes = client, folder, outcomes
        self._max_files, self._waits, self._patience = max_files, waits, patience

    async def run(self, sources: list[Source]) -> None:
        """Submit all sources; one that fails stops no other.

        Raises PlateDetectError: the service cannot be used.
        """
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
        except* (PlateDetectError, OSError) as errors:
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
            task_id = await self._client.submit([item.source.path for item in items])
        except OSError as error:
            await self._submit_without(items, error)
            return
        except PlateDetectError as error:
            fault = refusal(error)
            if fault is None:
                raise
            await self._submit_halves(items, fault)
            return
        self._outcomes.tell(task_id)
        if self._waits:
            await self._finish(task_id, items)
        else:
            for item in items:
                self._outcomes.add(Outcome(item.source, "submitted", task_id=task_id))

    async def _submit_without(self, items: list[Item], error: OSError) -> None:
        """Submit again without the image that cannot be read."""
        unreadable = [item for item in items if str(item.source.path) == str(error.filename)]
        if not unreadable:
            raise error
        reason = error.strerror or str(error)
        for item in unreadable:
            self._outcomes.add(_failed(item.source, CANNOT_READ, reason))
        await self._submit([item for item in items if item not in unreadable])

    async def _submit_halves(self, items: list[Item], fault: Fault) -> None:
        if len(items) == 1:
            self._outcomes.add(Outcome(items[0].source, "failed", fault=fault))
            return
        middle = len(items) // 2
        if fault.code == "too_many_files":
            self._max_files = min(self._max_files, middle)
        await self._submit(items[:middle])
        await self._submit(items[middle:])

    async def _finish(self, task_id: str, items: list[Item]) -> None:
        state = await self._final(task_id)
        if isinstance(state, Fault):
            for item in items:
                self._outcomes.add(Outcome(item.source, "failed", fault=state, task_id=task_id))
            return
        for item, result in _matched(items, state):
            self._outcomes.add(
                _failed(item.source, result.code, result.detail, task_id)
                if isinstance(result, Fault)
                else await self._fetch(task_id, item, result)
            )

    async def _final(self, task_id: str) -> TaskState | Fault:
        try:
            return await self._client.wait(
                task_id, timeout_seconds=None, idle_seconds=self._patience
            )
        except WaitTimeoutError as error:
            return self._no_progress(error)
        except PlateDetectError as error:
            fault = refusal(error)
            if fault is None:
                raise
            return fault

    def _no_progress(self, error: WaitTimeoutError) -> Fault:
        detail = f"task {error.task_id} has not changed for {self._patience:g} s"
        if error.state is not None:
            progress = error.state.progress
            detail += f": {progress.done} of {progress.total} images are done"
        if error.__cause__ is not None:
            detail += f" ({error.__cause__})"
        return Fault(NO_PROGRESS, detail)

    async def _fetch(self, task_id: str, item: Item, result: ImageResult) -> Outcome:
        described = result.model_dump(mode="json", exclude={"index", "url"}, exclude_defaults=True)
        if self._folder is None or item.output is None:
            return Outcome(item.source, "covered", result=described, task_id=task_id)
        try:
            with self._folder.writing(item.output) as file:
                await self._client.fetch_into(task_id, result.filename, file)
                await asyncio.to_thread(_check_image, file)
            self._folder.note(item.source, item.output, item.sha256, described)
        except OSError as error:
            return _failed(item.source, CANNOT_WRITE, error.strerror or str(error), task_id)
        except PlateDetectError as error:
            fault = refusal(error)
            if fault is None:
                raise
            return Outcome(item.source, "failed", fault=fault, task_id=task_id)
        return Outcome(item.source, "covered", item.output, result=described, task_id=task_id)


def _check_image(file: IO[bytes]) -> None:
    """Raise PlateDetectError if what was received, perhaps from a proxy, is no result."""
    file.seek(0)
    if accepted_format(file.read(HEAD_BYTES)) != "WEBP":
        raise PlateDetectError("what was sent as a result is no image")


def _matched(items: Sequence[Item], state: TaskState) -> Iterator[tuple[Item, ImageResult | Fault]]:
    """Yield each image with its result or error: results are in the order of the images."""
    errors = {error.index: Fault(error.code, error.detail) for error in state.errors}
    results = iter(state.results)
    for index, item in enumerate(items):
        missing = Fault(NO_PROGRESS, "the service names no result and no error")
        yield item, errors.get(index) or next(results, missing)


def _failed(source: Source, code: str, detail: str, task_id: str | None = None) -> Outcome:
    return Outcome(source, "failed", fault=Fault(code, detail), task_id=task_id)
