"""One fault after the other, dealt from a deck that the seed shuffles."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.checks import GROUPS, PREFIX
from tests.chaos.ledger import Ledger
from tests.chaos.plan import LEASE_SECONDS, Plan
from tests.chaos.town import Town

DECK = ("kill",) * 5 + (
    "server", "freeze", "cut", "cut", "poison",
    "delete_consumer", "delete_consumer", "delete_entry", "delete_entry",
)  # fmt: skip
KINDS = ("worker",) * 3 + ("dispatcher", "producer")


class Faults:
    """Deals faults until told to stop. All that was frozen runs again after `end`."""

    def __init__(self, plan: Plan, town: Town, ledger: Ledger) -> None:
        self._town = town
        self._ledger = ledger
        self._seconds = plan.fault_seconds
        self._rng = random.Random(plan.seed)
        self._deck: list[str] = []
        self._thawing: list[threading.Timer] = []
        self.dealt: Counter[str] = Counter()
        self.connections_cut = 0
        self.longest_absence_seconds = 0.0
        self.consumers_deleted = 0
        self.entries_deleted = 0

    @property
    def kills(self) -> int:
        """Processes killed so far, the server's included; poison is not counted."""
        return sum(self._town.kills.values())

    def run(self, enough: Callable[[], bool]) -> None:
        """Deal until it is enough."""
        while not enough():
            started = time.monotonic()
            if not self._deck:
                self._deck = list(DECK)
                self._rng.shuffle(self._deck)
            fault = self._deck.pop()
            if fault == "poison" and not self._ledger.want_poison():
                fault = "kill"
            self.dealt[fault] += 1
            getattr(self, f"_{fault}")()
            pause = self._seconds * self._rng.uniform(0.8, 1.2)
            time.sleep(max(0.0, pause - (time.monotonic() - started)))

    def end(self) -> None:
        """Let everything go on that still stands still."""
        for timer in self._thawing:
            timer.join()

    def _kill(self) -> None:
        running = self._town.runners(self._rng.choice(KINDS))
        if running:
            self._town.kill(self._rng.choice(running))

    def _freeze(self) -> None:
        running = self._town.runners(self._rng.choice(KINDS))
        if not running:
            return
        member = self._rng.choice(running)
        self._town.freeze(member)
        seconds = LEASE_SECONDS + self._rng.uniform(0.5, 2)
        timer = threading.Timer(seconds, self._town.thaw, [member])
        timer.start()
        self._thawing.append(timer)

    def _server(self) -> None:
        started = time.monotonic()
        self._town.server.kill()
        self._town.kills["server"] += 1
        time.sleep(self._rng.uniform(0.2, 1.2))
        self._town.server.start()
        absence = time.monotonic() - started
        self.longest_absence_seconds = max(self.longest_absence_seconds, absence)

    def _cut(self) -> None:
        self.connections_cut += self._town.proxy.cut(0.7, self._rng)

    def _delete_consumer(self) -> None:
        """Type XGROUP DELCONSUMER for a consumer that holds entries, which then nobody owns."""
        with self._town.redis() as redis, suppress(RedisError, OSError):
            holders: list[tuple[str, str, bytes]] = []
            for stream, group in GROUPS.items():
                consumers: Any = redis.xinfo_consumers(PREFIX + stream, group)
                holders += [(PREFIX + stream, group, c["name"]) for c in consumers if c["pending"]]
            if holders:
                stranded: Any = redis.xgroup_delconsumer(*self._rng.choice(holders))
                self.consumers_deleted += bool(stranded)

    def _delete_entry(self) -> None:
        """Type XDEL for some entries, waiting or held, that a task can be given again."""
        with self._town.redis() as redis, suppress(RedisError, OSError):
            rows: Any = redis.xrange(f"{PREFIX}images", count=50)
            known = [entry for entry, fields in rows if self._is_restorable(redis, fields)]
            for entry in self._rng.sample(known, min(3, len(known))):
                deleted: Any = redis.xdel(f"{PREFIX}images", entry)
                self.entries_deleted += deleted

    def _is_restorable(self, redis: Redis, fields: dict[bytes, bytes]) -> bool:
        """Whether an entry's original is in storage, and a step has seen the entry."""
        if b"object" not in fields:
            return False
        index, task = int(fields.get(b"index", 0)), fields[b"task_id"].decode()
        is_stored = (self._town.storage / fields[b"object"].decode()).is_file()
        return is_stored and bool(redis.hexists(f"{PREFIX}task:{task}", f"entry:{index}"))

    def _poison(self) -> None:
        """The ledger puts it into the next task."""
