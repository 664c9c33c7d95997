"""All names of Redis keys and groups. Keys share the prefix's hash tag, so scripts use one slot."""

import os
import secrets
import socket
from dataclasses import dataclass

WORKERS_GROUP = "workers"
DISPATCHER_GROUP = "dispatcher"
STRANDED_CONSUMER = "stranded"
"""Consumer that gets the stranded entries of either group: delivered, but not pending."""


def consumer_name() -> str:
    """Return a new name: a restarted process must not inherit entries that it does not hold."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one prefix, by default `{plates}`."""

    prefix: str

    @property
    def images(self) -> str:
        """Work stream: one entry is one image."""
        return f"{self.prefix}:images"

    @property
    def corrections(self) -> str:
        """Stream of results that have corrections to be made; before images in the workers."""
        return f"{self.prefix}:corrections"

    @property
    def reviews(self) -> str:
        """Sorted set of the results that need review, scored by the end of their task (epoch ms).

        A member is `<task_id>:<index>`.
        """
        return f"{self.prefix}:reviews"

    @property
    def events(self) -> str:
        """Stream of events: ended tasks, and corrected results."""
        return f"{self.prefix}:events"

    @property
    def dead_letters(self) -> str:
        """Stream of dead letters: reason and metadata, never pixels."""
        return f"{self.prefix}:dead-letters"

    @property
    def open_tasks(self) -> str:
        """Sorted set of unfinished tasks, scored by their last activity (epoch ms)."""
        return f"{self.prefix}:open-tasks"

    def due_deliveries(self, kind: str) -> str:
        """Sorted set of one kind's webhook deliveries, scored by their due time (epoch ms).

        One per kind, so that a slow receiver never delays the other kind's deliveries.
        """
        return f"{self.prefix}:due-deliveries:{kind}"

    @property
    def dead_deliveries(self) -> str:
        """Sorted set of dead deliveries, scored by the time of their end (epoch ms)."""
        return f"{self.prefix}:dead-deliveries"

    def job_lock(self, name: str) -> str:
        """Lock of a recurring job, which any of several dispatchers may run."""
        return f"{self.prefix}:chore:{name}"

    def idempotency(self, digest: str) -> str:
        """Hash of one idempotency key: the upload that holds it, then the task it is bound to."""
        return f"{self.prefix}:idempotency:{digest}"

    def task(self, task_id: str) -> str:
        """Hash of one task."""
        return f"{self.prefix}:task:{task_id}"

    def delivery(self, delivery_id: str) -> str:
        """Hash of one webhook delivery."""
        return f"{self.prefix}:delivery:{delivery_id}"
