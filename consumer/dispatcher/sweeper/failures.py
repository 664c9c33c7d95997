"""Failures in a round of the sweeper: one item or job that fails does not stop the others."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import ResponseError

from consumer.metrics import DispatcherMetrics
from schemas.logs import described
from schemas.retry import concerns_one

log = structlog.get_logger()


class Failures:
    """Failures of a round, counted by job; logged once, and again only after they were over."""

    def __init__(self, metrics: DispatcherMetrics) -> None:
        self._metrics = metrics
        self._now: dict[tuple[str, str], Exception] = {}
        self._reported: set[tuple[str, str]] = set()

    def begin_round(self) -> None:
        """Forget the failures of the round before."""
        self._now = {}

    @contextmanager
    def isolate(self, job: str, item: str = "") -> Iterator[None]:
        """Go on after a failure of the block, which deals with one item, or does a whole job.

        What any other item would meet as well, such as a missing right or a full server, ends the
        job; what every job would meet, such as a lost connection, ends the round.
        """
        try:
            yield
        except Exception as error:
            is_refused_job = not item and isinstance(error, ResponseError)
            if not is_refused_job and not concerns_one(error):
                raise
            self._note(job, item, error)

    def report(self) -> None:
        """Log what is new: one line for each job, whatever number of items it failed for."""
        for job in sorted({job for job, _ in self._now.keys() - self._reported}):
            items = {item: error for (of, item), error in self._now.items() if of == job}
            new = sorted(item for item in items if (job, item) not in self._reported)
            log.warning(
                "left out of the sweep", job=job, count=len(items), first=new[0],
                error=described(items[new[0]]),
            )  # fmt: skip
        self._reported = set(self._now)

    def _note(self, job: str, item: str, error: Exception) -> None:
        self._metrics.sweep_failures.labels(job).inc()
        self._now[job, item] = error
