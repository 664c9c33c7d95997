"""One chaos run: start everything, inject faults, wait for the end of all work, check."""

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from redis import Redis

from tests.stress.chaos import checks
from tests.stress.chaos.clients import clients
from tests.stress.chaos.corrections import CorrectedResults
from tests.stress.chaos.faults import Faults
from tests.stress.chaos.plan import CONSUMER_IDLE_SECONDS, UPLOAD_GRACE_SECONDS, ChaosPlan, settings
from tests.stress.chaos.service import ChaosService, running_service
from tests.stress.chaos.submissions import Submissions, picture, sha256
from tests.support.receiver import receiving
from tests.support.redis_server import server_binaries
from tests.support.service import wait_until

POISON_NUMBERS = 10_000_000
REFUSED_WEBHOOKS = 20


@dataclass
class ChaosFigures:
    """What a run did and found; it has passed if `violations` and `leftovers` are empty."""

    server: str
    seed: int
    images: int = 0
    tasks: int = 0
    tasks_by_way: dict[str, int] = field(default_factory=dict)
    seconds_of_faults: float = 0
    seconds_to_settle: float = 0
    kills: dict[str, int] = field(default_factory=dict)
    upgrades: int = 0
    stops: dict[str, int] = field(default_factory=dict)
    models: int = 0
    tasks_of_several_models: int = 0
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
    corrections: int = 0
    corrections_checked: int = 0
    versions: int = 0
    dead_letters: int = 0
    webhooks_wanted: int = 0
    webhooks_received: int = 0
    webhooks_repeated: int = 0
    violations: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return not self.violations and not self.leftovers

    def as_json(self) -> dict[str, object]:
        """Return all figures and the verdict, for printing."""
        return {**asdict(self), "passed": self.passed}


def run(plan: ChaosPlan, folder: Path) -> ChaosFigures:
    """Run in an empty folder; raises AssertionError if the service does not start or settle."""
    poisons = [picture(POISON_NUMBERS + number) for number in range(plan.poisons)]
    digests = {sha256(poison) for poison in poisons}
    figures = ChaosFigures(plan.server, plan.seed)
    with receiving(refuse=REFUSED_WEBHOOKS) as receiver:
        environment = settings(plan, poison=",".join(digests), backend_url=receiver.url)
        binary = server_binaries()[plan.server]
        with (
            running_service(plan, binary, folder, receiver, environment) as service,
            service.redis() as redis,
        ):
            submissions, corrected = Submissions(poisons), CorrectedResults()
            _inject_faults(plan, service, submissions, corrected, digests, figures)
            _settle(plan, service, redis, figures)
            _evaluate(service, submissions, corrected, redis, figures)
    return figures


def _inject_faults(
    plan: ChaosPlan,
    service: ChaosService,
    submissions: Submissions,
    corrected: CorrectedResults,
    digests: set[str],
    figures: ChaosFigures,
) -> None:
    faults = Faults(plan, service, submissions)
    started = time.monotonic()

    def enough() -> bool:
        full = submissions.images >= plan.images and faults.kills >= plan.kills
        upgrades = faults.upgrades
        full = full and (upgrades.done >= plan.upgrades or bool(upgrades.failures))
        if time.monotonic() - started > plan.limit_seconds:
            submissions.note_anomaly(
                f"out of time: {submissions.images} images, {faults.kills} kills, "
                f"{faults.upgrades.done} upgrades"
            )
            return True
        return full and not submissions.poisons

    with clients(plan, service, submissions, corrected, digests):
        faults.run(enough)
        faults.end()
    figures.seconds_of_faults = round(time.monotonic() - started, 1)
    figures.images, figures.tasks = submissions.images, len(submissions.accepted)
    figures.tasks_by_way = dict(Counter(p.way for p in submissions.accepted.values()))
    figures.kills, figures.stops = dict(service.kills), dict(service.stops)
    figures.upgrades = faults.upgrades.done
    for failure in faults.upgrades.failures:
        submissions.note_anomaly(failure)
    figures.freezes, figures.connections_cut = faults.injected["freeze"], faults.connections_cut
    figures.consumers_deleted = faults.consumers_deleted
    figures.entries_deleted = faults.entries_deleted
    figures.poison_images = sum(len(p.poisoned) for p in submissions.accepted.values())
    figures.corrections, figures.corrections_checked = corrected.total, corrected.checked
    figures.requests_repeated = submissions.repeated_requests
    figures.entries_repeated = submissions.repeated_entries


def _settle(plan: ChaosPlan, service: ChaosService, redis: Redis, figures: ChaosFigures) -> None:
    started = time.monotonic()
    wait_until(
        lambda: checks.is_quiet(redis), plan.settle_seconds,
        lambda: f"the work to be done\n{service.logs}",
    )  # fmt: skip
    figures.seconds_to_settle = round(time.monotonic() - started, 1)
    wait_until(service.is_ready, 30, lambda: f"producers\n{service.logs}")
    # A sweep of files that took 3 seconds on a busy machine is followed by a minute without one.
    rest = 60
    deadline = time.monotonic() + 2 * max(UPLOAD_GRACE_SECONDS, CONSUMER_IDLE_SECONDS) + rest
    while (left := checks.leftovers(service, redis)) and time.monotonic() < deadline:
        time.sleep(0.5)
    figures.leftovers = left


def _evaluate(
    service: ChaosService,
    submissions: Submissions,
    corrected: CorrectedResults,
    redis: Redis,
    figures: ChaosFigures,
) -> None:
    observations = checks.Observations(service, submissions, corrected, redis)
    figures.poison_deaths = service.poison_deaths
    figures.tasks_lost = len(observations.lost())
    figures.completion_events = sum(map(len, observations.events.values()))
    models = observations.models()
    figures.models = len(set().union(*models.values()))
    figures.tasks_of_several_models = sum(len(names) > 1 for names in models.values())
    figures.dead_letters = len(observations.letters)
    completed = sum(row.get(b"status") == b"completed" for row in observations.tasks.values())
    figures.versions = sum(map(len, observations.updates.values()))
    figures.webhooks_wanted = len(observations.tasks) + completed + 2 * figures.versions
    posts = [upload.webhook_id for upload in service.receiver.uploads]
    posts += [webhook_id for webhook_id, _ in service.receiver.callbacks]
    figures.webhooks_received = len(set(posts))
    figures.webhooks_repeated = len(posts) - len(set(posts))
    figures.violations = observations.violations()
