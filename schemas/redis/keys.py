"""Every Redis name in one place. All share the prefix's hash tag, so scripts stay in one slot."""

from dataclasses import dataclass

WORKERS_GROUP = "workers"
DISPATCHER_GROUP = "dispatcher"
STRANDED_CONSUMER = "stranded"
"""Holds, in either group, entries that were delivered but that no consumer held any more."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one prefix, by default `{plates}`."""

    prefix: str

    @property
    def images(self) -> str:
        """Work stream: one entry is one image."""
        return f"{self.prefix}:images"

    @property
    def events(self) -> str:
        """Stream of completion events."""
        return f"{self.prefix}:events"

    @property
    def dead_letters(self) -> str:
        """Stream of entries that were given up: reason and metadata, never pixels."""
        return f"{self.prefix}:dead-letters"

    @property
    def open_tasks(self) -> str:
        """Sorted set of unfinished tasks, scored by their last activity (epoch ms)."""
        return f"{self.prefix}:open-tasks"

    def due_deliveries(self, kind: str) -> str:
        """Sorted set of one kind's webhook deliveries, scored by when they are due (epoch ms).

        One per kind: the many that wait for a slow receiver never stand before the other's.
        """
        return f"{self.prefix}:due-deliveries:{kind}"

    @property
    def dead_deliveries(self) -> str:
        """Sorted set of the deliveries that were given up, scored by when (epoch ms)."""
        return f"{self.prefix}:dead-deliveries"

    def job_lock(self, name: str) -> str:
        """Lock of a recurring job, which any of several dispatchers may do."""
        return f"{self.prefix}:chore:{name}"

    def idempotency(self, digest: str) -> str:
        """Hash of one idempotency key: who holds it, then which task it became."""
        return f"{self.prefix}:idempotency:{digest}"

    def task(self, task_id: str) -> str:
        """Hash of one task."""
        return f"{self.prefix}:task:{task_id}"

    def delivery(self, delivery_id: str) -> str:
        """Hash of one webhook delivery."""
        return f"{self.prefix}:delivery:{delivery_id}"
