"""One fault after another, in an order that the seed determines."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tests.stress.chaos.checks import GROUPS, PREFIX
from tests.stress.chaos.plan import LEASE_SECONDS, ChaosPlan
from tests.stress.chaos.service import ChaosService
from tests.stress.chaos.submissions import Submissions
from tests.stress.chaos.upgrades import Upgrades

FAULTS = ("kill",) * 5 + (
    "server", "freeze", "cut", "cut", "poison", "upgrade",
    "delete_consumer", "delete_consumer", "delete_entry", "delete_entry",
)  # fmt: skip
KINDS = ("worker",) * 3 + ("dispatcher", "producer")


class Faults:
    """Injects faults until stopped. After `end` all processes run, and no upgrade is going on."""

    def __init__(self, plan: ChaosPlan, service: ChaosService, submissions: Submissions) -> None:
        self._service = service
        self._submissions = submissions
        self._seconds = plan.fault_seconds
        self._rng = random.Random(plan.seed)
        self._queue = ["upgrade"]  # it takes the longest
        self.upgrades = Upgrades(plan, service)
        self._thawing: list[threading.Timer] = []
        self.injected: Counter[str] = Counter()
        self.connections_cut = 0
        self.longest_absence_seconds = 0.0
        self.consumers_deleted = 0
        self.entries_deleted = 0

    @property
    def kills(self) -> int:
        """Processes killed so far, the server's included; poison is not counted."""
        return sum(self._service.kills.values())

    def run(self, enough: Callable[[], bool]) -> None:
        """Inject faults until `enough` returns true."""
        while not enough():
            started = time.monotonic()
            if not self._queue:
                self._queue = list(FAULTS)
                self._rng.shuffle(self._queue)
            fault = self._queue.pop()
            if fault == "poison" and not self._submissions.want_poison():
                fault = "kill"
            if fault == "upgrade" and not self.upgrades.wanted:
                fault = "kill"
            self.injected[fault] += 1
            getattr(self, f"_{fault}")()
            pause = self._seconds * self._rng.uniform(0.8, 1.2)
            time.sleep(max(0.0, pause - (time.monotonic() - started)))

    def end(self) -> None:
        """Wait until all frozen processes run again, and for the end of an upgrade."""
        for timer in self._thawing:
            timer.join()
        self.upgrades.end()

    def _kill(self) -> None:
        running = self._service.runners(self._rng.choice(KINDS))
        if running:
            self._service.kill(self._rng.choice(running))

    def _freeze(self) -> None:
        running = self._service.runners(self._rng.choice(KINDS))
        if not running:
            return
        member = self._rng.choice(running)
        self._service.freeze(member)
        seconds = LEASE_SECONDS + self._rng.uniform(0.5, 2)
        timer = threading.Timer(seconds, self._service.thaw, [member])
        timer.start()
        self._thawing.append(timer)

    def _server(self) -> None:
        started = time.monotonic()
        self._service.server.kill()
        self._service.kills["server"] += 1
        time.sleep(self._rng.uniform(0.2, 1.2))
        self._service.server.start()
        absence = time.monotonic() - started
        self.longest_absence_seconds = max(self.longest_absence_seconds, absence)

    def _cut(self) -> None:
        self.connections_cut += self._service.proxy.cut(0.7, self._rng)

    def _delete_consumer(self) -> None:
        """Delete a consumer that holds entries: they then belong to no consumer."""
        with self._service.redis() as redis, suppress(RedisError, OSError):
            holders: list[tuple[str, str, bytes]] = []
            for stream, group in GROUPS.items():
                consumers: Any = redis.xinfo_consumers(PREFIX + stream, group)
                holders += [(PREFIX + stream, group, c["name"]) for c in consumers if c["pending"]]
            if holders:
                stranded: Any = redis.xgroup_delconsumer(*self._rng.choice(holders))
                self.consumers_deleted += bool(stranded)

    def _delete_entry(self) -> None:
        """Delete some entries, waiting or in flight, that the sweeper can restore."""
        with self._service.redis() as redis, suppress(RedisError, OSError):
            rows: Any = redis.xrange(f"{PREFIX}images", count=50)
            known = [
                ("images", entry) for entry, fields in rows if self._is_restorable(redis, fields)
            ]
            waiting: Any = redis.xrange(f"{PREFIX}corrections", count=5)
            known += [("corrections", entry) for entry, _ in waiting]
            for stream, entry in self._rng.sample(known, min(3, len(known))):
                deleted: Any = redis.xdel(PREFIX + stream, entry)
                self.entries_deleted += deleted

    def _is_restorable(self, redis: Redis, fields: dict[bytes, bytes]) -> bool:
        """Whether an entry's original is in storage, and a step has seen the entry."""
        if b"object" not in fields:
            return False
        index, task = int(fields.get(b"index", 0)), fields[b"task_id"].decode()
        is_stored = (self._service.storage / fields[b"object"].decode()).is_file()
        return is_stored and bool(redis.hexists(f"{PREFIX}task:{task}", f"entry:{index}"))

    def _poison(self) -> None:
        """The next task carries a poison image."""

    def _upgrade(self) -> None:
        self.upgrades.begin()
