"""The service that processes the corpus, and its state afterwards."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests as http
from redis import Redis

from schemas.redis.keys import Keys
from tests.corpus.cases import (
    INLINE_MAX_BYTES,
    MAX_FILE_BYTES,
    MAX_IMAGE_PIXELS,
    EntryCase,
    ImageCase,
    RequestCase,
)
from tests.corpus.raw_http import RawResponse, send_raw
from tests.corpus.requests import END, FORM, IMAGE, MAX_REQUEST_MB, file, quoted
from tests.support.redis_server import RedisServer, server_binaries
from tests.support.service import Service, running, wait_until

KEYS = Keys("{plates}")
_CLIENTS = 16
_FILES, _BYTES = 50, 7 << 20  # of one upload
_SETTINGS = {
    "MAX_IMAGE_PIXELS": MAX_IMAGE_PIXELS, "MAX_FILE_SIZE_BYTES": MAX_FILE_BYTES,
    "MAX_REQUEST_SIZE_MB": MAX_REQUEST_MB, "INLINE_MAX_BYTES": INLINE_MAX_BYTES,
    "UPLOAD_IDLE_TIMEOUT_SECONDS": 2, "UPLOAD_TIMEOUT_SECONDS": 8, "MEMORY_BUDGET_MB": 256,
    # These images show no plates; a false detection must not change their colours.
    "DETECT_CONFIDENCE": 0.99, "REVIEW_CONFIDENCE": 0.99,
}  # fmt: skip


@dataclass(frozen=True)
class ProcessedImage:
    """The result of an image, or the code of its error."""

    result: bytes | None
    code: str | None


@dataclass(frozen=True)
class ProcessedTask:
    """The status of a published task, and its dead letters."""

    task_id: str
    state: dict[str, Any] | None
    letters: list[dict[str, bytes]]


@dataclass
class CorpusService:
    """A producer and a worker with their server; measures their memory."""

    service: Service
    redis: Redis
    before: dict[str, int] = field(default_factory=dict)

    def watch(self) -> None:
        """Note the memory of the processes after one ordinary task."""
        self.service.wait_final(self.service.submit(("warm.jpg", IMAGE)))
        # the worker deletes an original just after the status says that the task has ended
        wait_until(
            lambda: not [*self.service.storage.glob("*/input/*")], 30, lambda: self.service.logs
        )
        self.before = self.peaks()

    def peaks(self) -> dict[str, int]:
        """Return the peak resident memory of each process so far, bytes."""
        return {name: _peak_bytes(role.pid) for name, role in self.service.roles.items()}

    def stored(self) -> tuple[set[bytes], int, set[Path]]:
        """Return keys in Redis, number of entries in the work stream, and paths in storage."""
        keys: Any = set(self.redis.keys("*"))
        return keys, int(self.redis.xlen(KEYS.images)), set(self.service.storage.rglob("*"))

    def send(self, cases: tuple[RequestCase, ...]) -> dict[str, RawResponse]:
        """Send requests, several at a time; return the responses by case name."""
        with ThreadPoolExecutor(_CLIENTS) as clients:
            answers = clients.map(lambda case: send_raw(self.service.port, case), cases)
            return dict(zip((case.name for case in cases), answers, strict=True))

    def upload(self, *files: tuple[str, bytes]) -> "http.Response":
        """Send one upload as an ordinary client does."""
        url = f"{self.service.url}/api/v1/process-task/"
        body = b"".join(file(content, quoted(name)) for name, content in files) + END
        return http.post(url, body, headers={"Content-Type": FORM}, timeout=30)

    def refuse(self, pictures: list[ImageCase]) -> dict[str, "http.Response"]:
        """Upload each image in a request of its own; return the responses by case name."""
        with ThreadPoolExecutor(_CLIENTS) as clients:
            answers = clients.map(lambda picture: self.upload(("a.jpg", picture.data)), pictures)
            return dict(zip((picture.name for picture in pictures), answers, strict=True))

    def process(self, pictures: list[ImageCase]) -> dict[str, ProcessedImage]:
        """Upload images, many in a task, and wait; return the results by case name."""
        tasks = [(group, self._submit(group)) for group in _groups(pictures)]
        return {
            picture.name: outcome
            for group, task_id in tasks
            for picture, outcome in zip(group, self._outcomes(group, task_id), strict=True)
        }

    def _submit(self, group: list[ImageCase]) -> str:
        return self.service.submit(
            *((f"{index}.jpg", picture.data) for index, picture in enumerate(group))
        )

    def _outcomes(self, group: list[ImageCase], task_id: str) -> Iterator[ProcessedImage]:
        state: Any = self.service.wait_final(task_id, 120)
        codes = {error["filename"]: error["code"] for error in state["errors"]}
        urls = {result["filename"]: result["url"] for result in state["results"]}
        for index in range(len(group)):
            url = urls.get(f"covered_{index}.webp")
            result = None if url is None else self.service.result(url)
            yield ProcessedImage(result, codes.get(f"{index}.jpg"))

    def publish(self, cases: tuple[EntryCase, ...]) -> dict[str, ProcessedTask]:
        """Publish all first entries; when these are processed all second ones, and so on."""
        entries = {f"case-{n}": case.entries(f"case-{n}") for n, case in enumerate(cases)}
        ids: dict[str, list[bytes]] = {task_id: [] for task_id in entries}
        for turn in range(max(map(len, entries.values()))):
            for task_id, fields in entries.items():
                if turn < len(fields):
                    ids[task_id].append(self.redis.xadd(KEYS.images, fields[turn]))  # type: ignore[arg-type]
            wait_until(lambda: not self.redis.xlen(KEYS.images), 60, lambda: self.service.logs)
        letters = self.letters()
        return {
            case.name: ProcessedTask(
                task_id,
                self.state(task_id),
                [letters[entry] for entry in ids[task_id] if entry in letters],
            )
            for case, task_id in zip(cases, entries, strict=True)
        }

    def letters(self) -> dict[bytes, dict[str, bytes]]:
        """Return dead letters by the id of their entry."""
        found: Any = self.redis.xrange(KEYS.dead_letters)
        return {
            fields[b"entry"]: {name.decode(): value for name, value in fields.items()}
            for _, fields in found
        }

    def state(self, task_id: str) -> dict[str, Any] | None:
        """Return the status of a task; None if it does not exist."""
        answer = http.get(f"{self.service.url}/api/v1/task-status/{task_id}", timeout=30)
        assert answer.status_code in (200, 404), answer.text
        state: dict[str, Any] = answer.json()
        return state if answer.status_code == 200 else None


@contextmanager
def corpus_service(folder: Path) -> Iterator[CorpusService]:
    """Run the service during a block."""
    server = RedisServer(server_binaries()["valkey"], folder)
    server.start()
    try:
        settings = {name: str(value) for name, value in _SETTINGS.items()}
        with (
            running(server.url, folder, "worker", "producer", **settings) as service,
            Redis.from_url(server.url) as redis,
        ):
            place = CorpusService(service, redis)
            place.watch()
            yield place
    finally:
        server.stop()


def _groups(pictures: list[ImageCase]) -> Iterator[list[ImageCase]]:
    group: list[ImageCase] = []
    for picture in pictures:
        if len(group) == _FILES or sum(len(p.data) for p in (*group, picture)) > _BYTES:
            yield group
            group = []
        group.append(picture)
    yield group


def _peak_bytes(pid: int) -> int:
    """Return the peak resident memory where the system reports it, else the current one."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return int(psutil.Process(pid).memory_info().rss)
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024
