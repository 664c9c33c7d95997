"""The worker processes of a measurement: at most eight, with any number of workers in them."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from consumer.cpus import usable_cpus
from tests.support.service import ROOT

MAX_PROCESSES = 8
IMAGE_SECONDS = 0.2
SIDE = 64
ANSWER_SECONDS = 60.0


class Crew:
    """Worker processes that wait for orders; those without a worker cost nothing."""

    def __init__(self, environment: dict[str, str], folder: Path, processes: int) -> None:
        self._log = folder / "workers.log"
        with self._log.open("ab") as log:
            self._processes = [
                subprocess.Popen(
                    [sys.executable, "-m", "tests.bench.scale.loops"],
                    env={**os.environ, **_settings(), **environment},
                    cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                )
                for _ in range(processes)
            ]  # fmt: skip

    def start(self, workers: int) -> None:
        """Start so many workers, spread evenly; does not wait until they have joined."""
        count = len(self._processes)
        shares = [workers // count + (number < workers % count) for number in range(count)]
        self._order([f"start {share}" for share in shares])

    def stop(self) -> None:
        """Stop all workers after they have finished what they hold."""
        self._order(["stop"] * len(self._processes))

    def cpu_seconds(self) -> float:
        """Of all processes so far."""
        times = [psutil.Process(process.pid).cpu_times() for process in self._processes]
        return float(sum(time.user + time.system for time in times))

    def resident_bytes(self) -> int:
        """Of all processes now."""
        return sum(psutil.Process(process.pid).memory_info().rss for process in self._processes)

    def end(self) -> None:
        """End the processes, however they are."""
        for process in self._processes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                process.wait(timeout=ANSWER_SECONDS / 4)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    def _order(self, lines: list[str]) -> None:
        for process, line in zip(self._processes, lines, strict=True):
            assert process.stdin is not None
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
        for process in self._processes:
            assert not self._answer(process)["torch"], "a worker has loaded torch"

    def _answer(self, process: "subprocess.Popen[bytes]") -> dict[str, bool]:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], ANSWER_SECONDS)
        line = process.stdout.readline() if ready else b""
        assert line, f"a worker process does not answer\n{self._log.read_text()[-3000:]}"
        answer: dict[str, bool] = json.loads(line)
        return answer


@contextmanager
def crew(environment: dict[str, str], folder: Path, workers: int) -> Iterator[Crew]:
    """Processes for at most so many workers."""
    processes = Crew(environment, folder, min(MAX_PROCESSES, workers))
    try:
        yield processes
    finally:
        processes.end()


def unhindered() -> dict[str, str]:
    """Settings of a worker whose detector takes no time, and that holds as much as on a GPU."""
    threads = usable_cpus()
    return {
        "MODEL_PATH": "stand-in:0",
        "PROCESSING_THREADS": str(threads),
        "MAX_IMAGES_IN_HAND": str(2 * threads + 3 * 16),
    }


def _settings() -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT),
        "MODEL_PATH": f"stand-in:{IMAGE_SECONDS * 1000:.0f}",
        "DETECT_IMGSZ": str(SIDE),
        "PROCESSING_THREADS": "1",
        # As wide as the machine: so there is one forward pass at a time, as on a GPU.
        "INFERENCE_THREADS": str(usable_cpus()),
        "METRICS_PORT": "0",
        "LOG_LEVEL": "warning",
        "LOG_FORMAT": "json",
    }
