"""Clients: some send tasks over HTTP, some publish to the stream, some add covers to results; all
retry until accepted.
"""

import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from redis.exceptions import RedisError

from tests.stress.chaos.corrections import PEOPLE, CorrectedResults, Person
from tests.stress.chaos.plan import ChaosPlan
from tests.stress.chaos.service import ChaosService
from tests.stress.chaos.submissions import Submissions, sha256

HTTP_CLIENTS = 3
PUBLISHERS = 2
STREAM = "{plates}:images"
RETRY_SECONDS = 90.0
_TRY_AGAIN = {409, 500, 502, 503, 504}


class ChaosClient:
    """Sends tasks while the backlog has room, until stopped; finishes its last task."""

    def __init__(
        self,
        number: int,
        plan: ChaosPlan,
        service: ChaosService,
        submissions: Submissions,
        poison: set[str],
    ) -> None:
        self._number = number
        self._plan = plan
        self._service = service
        self._submissions = submissions
        self._poison = poison
        self._rng = random.Random(f"{plan.seed}/{number}")
        self._redis = service.redis()

    def run(self, stop: threading.Event) -> None:
        """Send tasks."""
        publishes = self._number >= HTTP_CLIENTS
        sent = 0
        while not stop.is_set():
            if not self._has_room():
                stop.wait(0.1)
                continue
            images = self._submissions.new_images(self._rng.randint(1, 8))
            sent += 1
            if publishes:
                self._publish(f"direct-{self._plan.seed}-{self._number}-{sent}", images)
            else:
                self._post(images)
        self._redis.close()

    def _has_room(self) -> bool:
        try:
            return int(self._redis.xlen(STREAM)) < self._plan.backlog
        except (RedisError, OSError):
            return True  # a real client would not know either

    def _post(self, images: list[bytes]) -> None:
        key, until, tries = uuid.UUID(int=self._rng.getrandbits(128)), time.monotonic(), 0
        until += RETRY_SECONDS
        while time.monotonic() < until:
            tries += 1
            answer = self._try_to_post(images, str(key))
            if answer is not None and answer.status_code == 202:
                self._submissions.repeated(requests=tries - 1)
                self._submissions.keep(answer.json()["task_id"], "http", images, self._poison)
                return
            if answer is not None and answer.status_code not in _TRY_AGAIN:
                self._submissions.note_anomaly(f"upload: {answer.status_code} {answer.text[:200]}")
                return
            time.sleep(self._rng.uniform(0.1, 0.4))
        self._submissions.note_anomaly("upload: not accepted after all retries")

    def _try_to_post(self, images: list[bytes], key: str) -> requests.Response | None:
        url = self._rng.choice(self._service.producer_urls)
        files = [("files", (f"{i}.jpg", image)) for i, image in enumerate(images)]
        try:
            return requests.post(
                f"{url}/api/v1/process-task/", files=files,
                headers={"Idempotency-Key": key}, timeout=(2, 8),
            )  # fmt: skip
        except requests.RequestException:
            return None

    def _publish(self, task_id: str, images: list[bytes]) -> None:
        order = list(enumerate(images))
        self._rng.shuffle(order)
        for index, image in order:
            entry: dict[str, str | int | bytes] = {
                "v": 1, "task_id": task_id, "index": index, "total": len(images),
                "filename": f"{index}.jpg",
            }  # fmt: skip
            if self._rng.random() < 0.5:
                entry["image"] = image
            else:
                entry["object"] = self._stored(task_id, index, image)
            self._add(entry)
            if self._rng.random() < 0.05:
                self._submissions.repeated(entries=1)
                self._add(entry)
        self._submissions.keep(task_id, "direct", images, self._poison)

    def _add(self, entry: dict[str, str | int | bytes]) -> None:
        until = time.monotonic() + RETRY_SECONDS
        while time.monotonic() < until:
            try:
                self._redis.xadd(STREAM, entry)  # type: ignore[arg-type]
            except (RedisError, OSError):
                # Perhaps it was added: the same entry twice is one image.
                self._submissions.repeated(entries=1)
                time.sleep(self._rng.uniform(0.05, 0.2))
            else:
                return
        self._submissions.note_anomaly("publish: the server stayed unavailable")

    def _stored(self, task_id: str, index: int, image: bytes) -> str:
        """Store an original in one step, as the contract requires; return its key."""
        folder = self._service.storage / task_id / "input"
        beside = self._service.storage.parent / f"publisher-{self._number}"
        beside.write_bytes(image)
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                beside.replace(folder / f"{index}-{sha256(image)[:8]}")
            except FileNotFoundError:
                continue  # the service has just removed the empty folder
            return f"{task_id}/input/{index}-{sha256(image)[:8]}"


@contextmanager
def clients(
    plan: ChaosPlan,
    service: ChaosService,
    submissions: Submissions,
    corrected: CorrectedResults,
    poison: set[str],
) -> Iterator[None]:
    """Run the clients during a block; at its end each has finished its last task."""
    stop = threading.Event()
    loops = [
        *(
            ChaosClient(number, plan, service, submissions, poison).run
            for number in range(HTTP_CLIENTS + PUBLISHERS)
        ),
        *(Person(number, plan, service, submissions, corrected).run for number in range(PEOPLE)),
    ]
    threads = [threading.Thread(target=loop, args=(stop,), daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(RETRY_SECONDS + 30)
