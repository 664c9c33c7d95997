"""The service that the corpus goes through, and what is left of it afterwards."""

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
    Picture,
    Publication,
    Request,
)
from tests.corpus.clients import Answer, ask
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
    # Nothing in these pictures is a plate; what looks like one must not change their colours.
    "DETECT_CONFIDENCE": 0.99, "REVIEW_CONFIDENCE": 0.99,
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of a picture: a result, or the code of its error."""

    result: bytes | None
    code: str | None


@dataclass(frozen=True)
class Settled:
    """What became of a publication: the task as its status tells it, and its dead letters."""

    task_id: str
    state: dict[str, Any] | None
    letters: list[dict[str, bytes]]


@dataclass
class Town:
    """A producer and a worker, watched."""

    service: Service
    redis: "Redis[bytes]"
    before: dict[str, int] = field(default_factory=dict)

    def watch(self) -> None:
        """Remember the memory of processes that have done one ordinary task."""
        self.service.wait_final(self.service.submit(("warm.jpg", IMAGE)))
        self.before = self.peaks()

    def peaks(self) -> dict[str, int]:
        """Peak of each process's resident memory so far, bytes."""
        return {name: _peak_bytes(role.pid) for name, role in self.service.roles.items()}

    def stored(self) -> tuple[set[bytes], int, set[Path]]:
        """Keys in Redis, entries in the work stream, and everything in storage."""
        keys = set(self.redis.keys("*"))
        return keys, int(self.redis.xlen(KEYS.images)), set(self.service.storage.rglob("*"))

    def send(self, cases: tuple[Request, ...]) -> dict[str, Answer]:
        """Send requests, several at a time."""
        with ThreadPoolExecutor(_CLIENTS) as clients:
            answers = clients.map(lambda case: ask(self.service.port, case), cases)
            return dict(zip((case.name for case in cases), answers, strict=True))

    def upload(self, *files: tuple[str, bytes]) -> "http.Response":
        """One upload as a well-behaved client sends it."""
        url = f"{self.service.url}/api/v1/process-task/"
        body = b"".join(file(content, quoted(name)) for name, content in files) + END
        return http.post(url, body, headers={"Content-Type": FORM}, timeout=30)

    def refuse(self, pictures: list[Picture]) -> dict[str, "http.Response"]:
        """Upload each of these alone."""
        with ThreadPoolExecutor(_CLIENTS) as clients:
            answers = clients.map(lambda picture: self.upload(("a.jpg", picture.data)), pictures)
            return dict(zip((picture.name for picture in pictures), answers, strict=True))

    def process(self, pictures: list[Picture]) -> dict[str, Outcome]:
        """Upload these, as many in a task as fit, and wait for what becomes of each."""
        tasks = [(group, self._submit(group)) for group in _groups(pictures)]
        return {
            picture.name: outcome
            for group, task_id in tasks
            for picture, outcome in zip(group, self._outcomes(group, task_id), strict=True)
        }

    def _submit(self, group: list[Picture]) -> str:
        return self.service.submit(
            *((f"{index}.jpg", picture.data) for index, picture in enumerate(group))
        )

    def _outcomes(self, group: list[Picture], task_id: str) -> Iterator[Outcome]:
        state: Any = self.service.wait_final(task_id, 120)
        codes = {error["filename"]: error["code"] for error in state["errors"]}
        urls = {result["filename"]: result["url"] for result in state["results"]}
        for index in range(len(group)):
            url = urls.get(f"covered_{index}.webp")
            result = None if url is None else self.service.result(url)
            yield Outcome(result, codes.get(f"{index}.jpg"))

    def publish(self, cases: tuple[Publication, ...]) -> dict[str, Settled]:
        """Publish all first entries, when those are settled all second ones, and so on."""
        entries = {f"case-{n}": case.entries(f"case-{n}") for n, case in enumerate(cases)}
        ids: dict[str, list[bytes]] = {task_id: [] for task_id in entries}
        for turn in range(max(map(len, entries.values()))):
            for task_id, fields in entries.items():
                if turn < len(fields):
                    ids[task_id].append(self.redis.xadd(KEYS.images, fields[turn]))  # type: ignore[arg-type]
            wait_until(lambda: not self.redis.xlen(KEYS.images), 60, lambda: self.service.logs)
        letters = self.letters()
        return {
            case.name: Settled(
                task_id,
                self.state(task_id),
                [letters[entry] for entry in ids[task_id] if entry in letters],
            )
            for case, task_id in zip(cases, entries, strict=True)
        }

    def letters(self) -> dict[bytes, dict[str, bytes]]:
        """Dead letters by the id of their entry."""
        found: Any = self.redis.xrange(KEYS.dead_letters)
        return {
            fields[b"entry"]: {name.decode(): value for name, value in fields.items()}
            for _, fields in found
        }

    def state(self, task_id: str) -> dict[str, Any] | None:
        """A task as its status tells it; None if there is none."""
        answer = http.get(f"{self.service.url}/api/v1/task-status/{task_id}", timeout=30)
        assert answer.status_code in (200, 404), answer.text
        state: dict[str, Any] = answer.json()
        return state if answer.status_code == 200 else None


@contextmanager
def town(folder: Path) -> Iterator[Town]:
    """Start everything, for the length of a block."""
    server = RedisServer(server_binaries()["valkey"], folder)
    server.start()
    try:
        settings = {name: str(value) for name, value in _SETTINGS.items()}
        with (
            running(server.url, folder, "worker", "producer", **settings) as service,
            Redis.from_url(server.url) as redis,
        ):
            place = Town(service, redis)
            place.watch()
            yield place
    finally:
        server.stop()


def _groups(pictures: list[Picture]) -> Iterator[list[Picture]]:
    group: list[Picture] = []
    for picture in pictures:
        if len(group) == _FILES or sum(len(p.data) for p in (*group, picture)) > _BYTES:
            yield group
            group = []
        group.append(picture)
    yield group


def _peak_bytes(pid: int) -> int:
    """Highest resident memory so far where the system tells it, else the present one."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return int(psutil.Process(pid).memory_info().rss)
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024
