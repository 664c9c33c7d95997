"""The service on many hosts, without a common disk: hosts are cut off, S3 fails, Redis fails over.

Needs the right to make network namespaces, which root has.
"""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.stress.chaos.submissions import picture
from tests.support.hosts import network
from tests.support.many_hosts import HOSTS, ROLES, ManyHosts, is_ready, many_hosts
from tests.support.redis_server import server_binaries
from tests.support.service import launcher_loop, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(400)]

FAULTS = {"error": 0.05, "late_error": 0.03, "reset": 0.04, "cut": 0.03, "stall": 0.03}
OUTAGE = {"error": 0.5, "reset": 0.5}
OUTAGE_SECONDS = 8.0
REPEATED_STATUS = {409, 500, 502, 503, 504}
MAX_MISSING = 6
"""Images that may end as `input_missing`: see `check_tasks`."""


class Client(threading.Thread):
    """Sends tasks through nginx, one after the other; repeats a request until it is accepted."""

    def __init__(self, url: str) -> None:
        super().__init__(name="client", daemon=True)
        self.tasks: dict[str, int] = {}
        self.refusals: Counter[int | str] = Counter()
        self.problems: list[str] = []
        self.stopping = threading.Event()
        self._sending = threading.Lock()
        self._url = url
        self._rng = random.Random(1)
        self._next_picture = 0

    def run(self) -> None:
        while not self.stopping.is_set():
            with self._sending:
                self._send()
            self.stopping.wait(0.5)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Send nothing during the block; the last task before it is accepted."""
        with self._sending:
            yield

    def _send(self) -> None:
        count = self._rng.randint(1, 4)
        images = [picture(self._next_picture + number) for number in range(count)]
        self._next_picture += count
        key, until = str(uuid.uuid4()), time.monotonic() + 90
        while time.monotonic() < until:
            answer = self._try_to_post(images, key)
            if answer is not None and answer.status_code == 202:
                self.tasks[answer.json()["task_id"]] = count
                return
            if answer is not None and answer.status_code not in REPEATED_STATUS:
                self.problems.append(f"{answer.status_code} {answer.text[:200]}")
                return
            self.refusals["no response" if answer is None else answer.status_code] += 1
            time.sleep(self._rng.uniform(0.2, 0.6))
        self.problems.append("a task was not accepted within 90 s")

    def _try_to_post(self, images: list[bytes], key: str) -> requests.Response | None:
        files = [("files", (f"{number}.jpg", image)) for number, image in enumerate(images)]
        try:
            return requests.post(
                f"{self._url}/api/v1/process-task/", files=files,
                headers={"Idempotency-Key": key}, timeout=(3, 20),
            )  # fmt: skip
        except requests.RequestException:
            return None


def test_nothing_is_lost(tmp_path: Path) -> None:
    launcher_loop()  # its thread outlives this test, so it must not begin on a host of the test
    with (
        network(*HOSTS) as made,
        many_hosts(made, tmp_path, server_binaries()["valkey"]) as service,
    ):
        service.set_faults(**FAULTS)
        client = Client(service.url)
        client.start()
        try:
            go_on(service, client, 4)
            cut_off_a_host(service, client)
            kill_the_master(service, client)
            service.set_faults(**OUTAGE)
            time.sleep(OUTAGE_SECONDS)
            service.set_faults(**FAULTS)
            go_on(service, client, 4)
        finally:
            client.stopping.set()
            client.join(100)
        check(service, client)


def cut_off_a_host(service: ManyHosts, client: Client) -> None:
    """Cut off a host that has all roles and is working; the others go on, and it comes back."""
    cut_off = [service.roles[name] for name in ROLES["b"] if not name.startswith("producer")]
    seen = {role.name: len(role.log) for role in cut_off}
    service.network.cut("b")
    go_on(service, client, 6)
    for role in cut_off:
        wait_until(
            lambda r=role: says(r.log[seen[r.name] :], "interrupted"), 40, lambda: service.logs
        )  # type: ignore[misc]
    service.network.heal("b")
    wait_until(lambda: is_ready(service.producer_url("b")), 40, lambda: service.logs)
    go_on(service, client, 4)


def kill_the_master(service: ManyHosts, client: Client) -> None:
    """Kill the master while images are in work; it comes back as a replica."""
    with client.paused():
        wait_until(lambda: service.has_replica("redis-1"), 30, "replication")
        service.redis_servers["redis-1"].kill()
    wait_until(lambda: service.master == "redis-2", 40, "a new master")
    go_on(service, client, 4)
    service.redis_servers["redis-1"].start()
    wait_until(lambda: service.has_replica("redis-2"), 40, "the old master to follow the new one")


def go_on(service: ManyHosts, client: Client, count: int) -> None:
    """Wait until so many tasks that are sent from now on have ended."""
    before = set(client.tasks)

    def ended() -> bool:
        assert client.is_alive(), "the client has ended"
        new = [task_id for task_id in list(client.tasks) if task_id not in before]
        return sum(has_ended(service, task_id) for task_id in new[: count + 4]) >= count

    wait_until(ended, 90, lambda: f"{client.refusals} {client.problems}\n{service.logs}")


def has_ended(service: ManyHosts, task_id: str) -> bool:
    state = state_of(service, task_id)
    return state is not None and state["status"] in ("completed", "failed")


def state_of(service: ManyHosts, task_id: str) -> dict[str, Any] | None:
    """Return the status of a task; None while no producer can tell it."""
    try:
        answer = requests.get(f"{service.url}/api/v1/task-status/{task_id}", timeout=(3, 20))
    except requests.RequestException:
        return None
    assert answer.status_code in (200, 502, 503, 504), answer.text
    return answer.json() if answer.status_code == 200 else None


def check(service: ManyHosts, client: Client) -> None:
    assert not client.problems
    waiting = set(client.tasks)

    def all_ended() -> bool:
        waiting.difference_update([one for one in waiting if has_ended(service, one)])
        return not waiting

    wait_until(all_ended, 90, lambda: f"{waiting}\n{service.logs}")
    counts = service.set_faults()
    print(counts, dict(client.refusals), len(client.tasks), sum(client.tasks.values()))
    assert set(counts["faults"]) == set(FAULTS), "each kind of fault has occurred"
    check_tasks(service, client.tasks)
    check_redis(service, client.tasks)
    check_webhooks(service, client.tasks)
    wait_until(
        lambda: not foreign_keys(service), 90, lambda: f"{foreign_keys(service)}\n{service.logs}"
    )
    for role in service.roles.values():
        assert role.terminate() == 0, role.log[-4000:]


def check_tasks(service: ManyHosts, tasks: dict[str, int]) -> None:
    """Check that each image has one outcome, and each result can be fetched.

    An image whose outcome the old master had not yet replicated is processed again; its original is
    deleted by then.
    """
    missing = 0
    for task_id, total in tasks.items():
        state = state_of(service, task_id)
        assert state is not None
        results, errors = state["results"], state["errors"]
        assert len(results) + len(errors) == state["progress"]["total"] == total
        assert len({one["filename"] for one in (*results, *errors)}) == total
        assert {one["code"] for one in errors} <= {"input_missing"}, state
        missing += len(errors)
        for result in results:
            answer = requests.get(service.url + result["url"], timeout=30)
            assert (answer.status_code, answer.content[8:12]) == (200, b"WEBP"), answer.text[:200]
    assert missing <= MAX_MISSING


def check_redis(service: ManyHosts, tasks: dict[str, int]) -> None:
    with service.redis(service.master) as redis:
        rows: Any = redis.xrange("{plates}:events")
        told = Counter(fields[b"task_id"].decode() for _, fields in rows)
        assert set(told) >= set(tasks)
        assert set(told.values()) == {1}, "one event for each task"
        wait_until(lambda: redis.xlen("{plates}:images") == 0, 30, "an empty stream")
        assert redis.xlen("{plates}:dead-letters") == 0


def check_webhooks(service: ManyHosts, tasks: dict[str, int]) -> None:
    receiver = service.receiver

    def callbacks() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for webhook_id, body in receiver.callbacks:
            found.setdefault(body["task_id"], set()).add(webhook_id)
        return found

    wait_until(lambda: set(callbacks()) >= set(tasks), 60, lambda: service.logs)
    assert {len(ids) for ids in callbacks().values()} == {1}, "a repeated webhook has the same id"
    completed = {body["task_id"] for _, body in receiver.callbacks if body["status"] == "completed"}
    uploaded: Callable[[], set[str]] = lambda: {one.task_id for one in receiver.uploads}  # noqa: E731
    wait_until(lambda: uploaded() >= completed, 60, lambda: service.logs)


def foreign_keys(service: ManyHosts) -> list[str]:
    """Return the keys of objects that are not a result of a task."""
    keys = [key for key in service.stored_keys() if not key.endswith("/.ready")]
    return [key for key in keys if key.split("/")[2:3] != ["output"]]


def says(log: str, event: str) -> bool:
    return f'"event":"{event}"' in log.replace('": "', '":"')
