"""Cost of each stage by itself: one thread, one image at a time, nothing else at work.

Run as `python -m tests.bench.stages FOLDER OUTPUT` in a process of its own, so that it leaves no
model and no threads in the one that makes the load. The worker's settings come from the
environment.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2

from consumer.host import keep_large_blocks
from consumer.settings import WorkerSettings
from consumer.vision.finding import CoveredImage, cover_plates, needed_bytes
from consumer.vision.steps import run_steps
from consumer.worker.process import cover_options, networks_of, stub_of
from tests.bench.images import SAMPLE, from_folder

REPEATS = 5


class Stages:
    """Times the stages of covering an image: the best of REPEATS."""

    def __init__(self, settings: WorkerSettings, *, backlog: bool) -> None:
        self._backlog = backlog
        self._networks = networks_of(
            settings.model_copy(
                update={"inference_threads": 1, "processing_threads": 1, "processing_batch_size": 1}
            )
        )
        self._options = cover_options(
            settings, stub_of(settings), corners=self._networks.corners is not None
        )
        self.seconds: dict[str, list[float]] = {}
        self.covers: list[list[list[list[float]]]] = []  # of each image, corners x, y

    def measure(self, data: bytes) -> None:
        """Cover one image several times, and note what each stage costs and the covers."""
        times: dict[str, list[float]] = {}
        for _ in range(REPEATS):
            covered, spent = self._cover(data)
            for stage, seconds in spent.items():
                times.setdefault(stage, []).append(seconds)
        for stage, all_ in times.items():
            self.seconds.setdefault(stage, []).append(min(all_))
        self.covers.append(covered.covers.tolist())

    def _cover(self, data: bytes) -> tuple[CoveredImage, dict[str, float]]:
        """Return the covered image and the seconds of each stage; "inference" is all the rest."""
        spent: dict[str, float] = defaultdict(float)

        @contextmanager
        def stage(name: str) -> Iterator[None]:
            started = time.perf_counter()
            yield
            spent[name] += time.perf_counter() - started

        started = time.perf_counter()
        with stage("decode"):
            needed_bytes(data, self._options)
        steps = cover_plates(data, self._options, has_backlog=lambda: self._backlog, stage=stage)
        covered = run_steps(steps, self._networks.run)
        spent["inference"] = time.perf_counter() - started - sum(spent.values())
        return covered, spent


def main() -> None:
    """Write seconds per image by stage as JSON, while images wait and while none does.

    And the covers of each image.
    """
    keep_large_blocks()
    cv2.setNumThreads(1)
    files = from_folder(Path(sys.argv[1])).files[:SAMPLE]
    found: dict[str, Any] = {}
    for name, backlog in (("busy", True), ("idle", False)):
        stages = Stages(WorkerSettings.load(), backlog=backlog)
        for _, data in files:
            stages.measure(data)
        found[name] = {stage: fmean(seconds) for stage, seconds in stages.seconds.items()}
        found["covers"] = stages.covers  # the same both times
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
