"""Rolling upgrades: every process ends by SIGTERM, in turn, and starts again with new settings."""

import threading

from tests.stress.chaos.plan import ChaosPlan, upgraded_settings
from tests.stress.chaos.service import ChaosService
from tests.support.service import wait_until

KINDS = ("dispatcher", "worker", "producer")
"""As docs/operating.md orders the roles: those that add new kinds of work come last."""

_END_SECONDS = 90.0
"""A drain, a time in which the process is frozen, and its start on a machine that is busy."""


class Upgrades:
    """One upgrade after another, each in a thread of its own beside the other faults."""

    def __init__(self, plan: ChaosPlan, service: ChaosService) -> None:
        self._plan = plan
        self._service = service
        self._thread: threading.Thread | None = None
        self.begun = 0
        self.done = 0
        self.failures: list[str] = []

    @property
    def wanted(self) -> bool:
        """Whether the plan has further upgrades, and none is going on."""
        is_going_on = self._thread is not None and self._thread.is_alive()
        return self.begun < self._plan.upgrades and not is_going_on

    def begin(self) -> None:
        """Begin the next upgrade."""
        self.begun += 1
        self._thread = threading.Thread(target=self._run, args=(self.begun,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Wait for the upgrade that is going on."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, version: int) -> None:
        service = self._service
        ordered = sorted(service.members, key=lambda member: KINDS.index(member.kind))
        try:
            for member in ordered:
                name = member.name
                # A process that has just been killed, or has just started, has no handler yet.
                wait_until(lambda m=member: m.awaits_sigterm, _END_SECONDS, f"{name} to start")
                former = member.process.pid
                service.upgrade(member, upgraded_settings(self._plan, member.kind, version))
                wait_until(
                    lambda m=member, pid=former: m.process.pid != pid and m.awaits_sigterm,
                    _END_SECONDS, f"{name} to end by SIGTERM and to start again",
                )  # fmt: skip
        except AssertionError as error:
            self.failures.append(f"upgrade {version}: {error}")
        else:
            self.done += 1
