"""One chaos run, from the first process to the last check."""

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from redis import Redis

from tests.chaos import checks
from tests.chaos.clients import clients
from tests.chaos.faults import Faults
from tests.chaos.ledger import Ledger, picture, sha256
from tests.chaos.plan import CONSUMER_IDLE_SECONDS, UPLOAD_GRACE_SECONDS, Plan, settings
from tests.chaos.town import Town, founded
from tests.support.receiver import receiving
from tests.support.redis_server import server_binaries
from tests.support.service import wait_until

POISON_NUMBERS = 10_000_000
REFUSED_WEBHOOKS = 20


@dataclass
class Figures:
    """What a run did and found; it has passed if `violations` and `leftovers` are empty."""

    server: str
    seed: int
    images: int = 0
    tasks: int = 0
    tasks_by_way: dict[str, int] = field(default_factory=dict)
    seconds_under_fire: float = 0
    seconds_to_settle: float = 0
    kills: dict[str, int] = field(default_factory=dict)
    freezes: int = 0
    connections_cut: int = 0
    consumers_deleted: int = 0
    entries_deleted: int = 0
    poison_images: int = 0
    poison_deaths: int = 0
    requests_repeated: int = 0
    entries_repeated: int = 0
    tasks_lost: int = 0
    completion_events: int = 0
    dead_letters: int = 0
    webhooks_wanted: int = 0
    webhooks_received: int = 0
    webhooks_repeated: int = 0
    violations: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every promise held."""
        return not self.violations and not self.leftovers

    def as_json(self) -> dict[str, object]:
        """For printing."""
        return {**asdict(self), "passed": self.passed}


def run(plan: Plan, folder: Path) -> Figures:
    """Run in an empty folder; raises AssertionError if the service does not start or settle."""
    poisons = [picture(POISON_NUMBERS + number) for number in range(plan.poisons)]
    digests = {sha256(poison) for poison in poisons}
    figures = Figures(plan.server, plan.seed)
    with receiving(refuse=REFUSED_WEBHOOKS) as receiver:
        environment = settings(plan, poison=",".join(digests), backend_url=receiver.url)
        binary = server_binaries()[plan.server]
        with founded(plan, binary, folder, receiver, environment) as town, town.redis() as redis:
            ledger = Ledger(poisons)
            _under_fire(plan, town, ledger, digests, figures)
            _settle(plan, town, redis, figures)
            _judge(town, ledger, redis, figures)
    return figures


def _under_fire(
    plan: Plan, town: Town, ledger: Ledger, digests: set[str], figures: Figures
) -> None:
    faults = Faults(plan, town, ledger)
    started = time.monotonic()

    def enough() -> bool:
        full = ledger.images >= plan.images and faults.kills >= plan.kills
        if time.monotonic() - started > plan.limit_seconds:
            ledger.complain(f"out of time: {ledger.images} images, {faults.kills} kills")
            return True
        return full and not ledger.poisons

    with clients(plan, town, ledger, digests):
        faults.run(enough)
        faults.end()
    figures.seconds_under_fire = round(time.monotonic() - started, 1)
    figures.images, figures.tasks = ledger.images, len(ledger.promises)
    figures.tasks_by_way = dict(Counter(p.way for p in ledger.promises.values()))
    figures.kills = dict(town.kills)
    figures.freezes, figures.connections_cut = faults.dealt["freeze"], faults.connections_cut
    figures.consumers_deleted = faults.consumers_deleted
    figures.entries_deleted = faults.entries_deleted
    figures.poison_images = sum(len(p.poisoned) for p in ledger.promises.values())
    figures.requests_repeated = ledger.repeated_requests
    figures.entries_repeated = ledger.repeated_entries


def _settle(plan: Plan, town: Town, redis: Redis, figures: Figures) -> None:
    started = time.monotonic()
    wait_until(
        lambda: checks.is_quiet(redis), plan.settle_seconds,
        lambda: f"the work to be done\n{town.logs}",
    )  # fmt: skip
    figures.seconds_to_settle = round(time.monotonic() - started, 1)
    wait_until(town.is_ready, 30, lambda: f"producers\n{town.logs}")
    patience = time.monotonic() + 2 * max(UPLOAD_GRACE_SECONDS, CONSUMER_IDLE_SECONDS) + 10
    while (left := checks.leftovers(town, redis)) and time.monotonic() < patience:
        time.sleep(0.5)
    figures.leftovers = left


def _judge(town: Town, ledger: Ledger, redis: Redis, figures: Figures) -> None:
    evidence = checks.Evidence(town, ledger, redis)
    figures.poison_deaths = town.poison_deaths
    figures.tasks_lost = len(evidence.lost())
    figures.completion_events = sum(map(len, evidence.events.values()))
    figures.dead_letters = len(evidence.letters)
    completed = sum(row.get(b"status") == b"completed" for row in evidence.tasks.values())
    figures.webhooks_wanted = len(evidence.tasks) + completed
    posts = [upload.webhook_id for upload in town.receiver.uploads]
    posts += [webhook_id for webhook_id, _ in town.receiver.callbacks]
    figures.webhooks_received = len(set(posts))
    figures.webhooks_repeated = len(posts) - len(set(posts))
    figures.violations = evidence.violations()
