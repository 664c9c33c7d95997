"""One fault after the other, dealt from a deck that the seed shuffles."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

from tests.chaos.ledger import Ledger
from tests.chaos.plan import LEASE_SECONDS, Plan
from tests.chaos.town import Town

DECK = ("kill",) * 5 + ("server", "freeze", "cut", "cut", "poison")
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

    def _poison(self) -> None:
        """The ledger puts it into the next task."""
