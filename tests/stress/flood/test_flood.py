"""A short overload: more arrives than can be processed, and no role's memory grows with it."""

from pathlib import Path

import pytest

from tests.stress.flood.__main__ import FLAT, WORKER_MIB, markdown
from tests.stress.flood.run import FloodPlan, run

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(180)]


def test_memory_does_not_follow_the_queue(tmp_path: Path) -> None:
    plan = FloodPlan(
        seconds=15, clients=6, images=12, width=2400, max_backlog=30, min_images_done=11
    )
    figures = run(plan, tmp_path, print)
    print(markdown(figures))
    assert figures.unexpected == []
    assert figures.accepted >= 2
    assert figures.refused >= 1
    assert figures.images_done >= plan.min_images_done
    assert figures.peak("worker") - figures.idle["worker"] < WORKER_MIB
    # Half a minute is too short for a flat curve of the worker; these two hold no images.
    for role in ("producer", "dispatcher"):
        assert figures.peak(role) < figures.idle[role] + 150
        assert figures.growth(role) < FLAT + 0.4
