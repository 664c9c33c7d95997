"""People who add covers to finished results, while everything dies."""

import io
import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import requests
from PIL import Image

from consumer.vision.cover.cover import FILL
from tests.stress.chaos.plan import ChaosPlan
from tests.stress.chaos.service import ChaosService
from tests.stress.chaos.submissions import Submissions

PEOPLE = 2
RETRY_SECONDS = 90.0
_MOST_PER_RESULT = 8
_CELL = 12
_FIRST_COLUMN = 80
"""The stand-in covers the left half of each picture of 128 x 96 pixels, and a margin."""
_ROWS = 8
_COVERED_WITHIN = 40
_TRY_AGAIN = {409, 500, 502, 503, 504}


@dataclass
class CorrectedResults:
    """Accepted corrections: how many of each result; written by the clients' threads."""

    accepted: dict[tuple[str, str], int] = field(default_factory=dict)
    checked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_cell(self, task_id: str, name: str) -> int | None:
        """Return the number of a further correction of a result; None if it has enough."""
        with self._lock:
            cell = self.accepted.get((task_id, name), 0)
            if cell >= _MOST_PER_RESULT:
                return None
            self.accepted[task_id, name] = cell + 1
            return cell

    @property
    def total(self) -> int:
        """All accepted corrections."""
        return sum(self.accepted.values())


def corner(cell: int) -> tuple[int, int]:
    """Return left and top of a correction's cover."""
    return _FIRST_COLUMN + cell // _ROWS * _CELL, cell % _ROWS * _CELL


def is_covered(webp: bytes, cell: int) -> bool:
    """Whether the middle of a correction's cover is covered in a result."""
    pixels = np.asarray(Image.open(io.BytesIO(webp)).convert("RGB"), np.int16)
    left, top = corner(cell)
    middle = pixels[top + 4 : top + 8, left + 4 : left + 8]
    return bool(np.abs(middle - np.array(FILL)).max() <= _COVERED_WITHIN)


class Person:
    """Adds covers to results of ended tasks until stopped; repeats each request until accepted."""

    def __init__(
        self,
        number: int,
        plan: ChaosPlan,
        service: ChaosService,
        submissions: Submissions,
        corrected: CorrectedResults,
    ) -> None:
        self._service = service
        self._submissions = submissions
        self._corrected = corrected
        self._rng = random.Random(f"{plan.seed}/person/{number}")

    def run(self, stop: threading.Event) -> None:
        """Add covers."""
        while not stop.wait(self._rng.uniform(0.05, 0.3)):
            tasks = list(self._submissions.accepted)
            if not tasks:
                continue
            # Often the same ones, so that corrections of one result meet.
            task_id = self._rng.choice(tasks[-20:] if self._rng.random() < 0.5 else tasks[:5])
            state = self._state(task_id)
            if state is None or state["status"] != "completed":
                continue
            result = self._rng.choice(state["results"])
            cell = self._corrected.next_cell(task_id, result["filename"])
            if cell is not None:
                self._correct(task_id, result, cell)

    def _state(self, task_id: str) -> dict[str, Any] | None:
        answer = self._call("GET", f"/api/v1/task-status/{task_id}")
        return answer.json() if answer is not None and answer.status_code == 200 else None

    def _correct(self, task_id: str, result: dict[str, Any], cell: int) -> None:
        left, top = corner(cell)
        right, bottom = left + _CELL, top + _CELL
        covers = [[[left, top], [right, top], [right, bottom], [left, bottom]]]
        path = f"/api/v1/tasks/{task_id}/results/{result['filename']}/covers"
        key = str(uuid.UUID(int=self._rng.getrandbits(128)))
        until = time.monotonic() + RETRY_SECONDS
        while time.monotonic() < until:
            answer = self._call(
                "POST", path, json={"covers": covers}, headers={"Idempotency-Key": key}
            )
            if answer is not None and answer.status_code in (200, 202):
                if answer.status_code == 200:
                    self._check_served(result["url"], cell)
                return
            if answer is not None and answer.status_code not in _TRY_AGAIN:
                break
            time.sleep(self._rng.uniform(0.1, 0.4))
        what = "no response" if answer is None else f"{answer.status_code} {answer.text[:200]}"
        self._submissions.note_anomaly(f"correction of {task_id}: {what}")

    def _check_served(self, url: str, cell: int) -> None:
        """The version that was announced, or a later one, is served."""
        answer = self._call("GET", url)
        if answer is None or answer.status_code in _TRY_AGAIN:
            return
        if answer.status_code != 200:
            self._submissions.note_anomaly(f"corrected result {url}: {answer.status_code}")
        elif not is_covered(answer.content, cell):
            self._submissions.note_anomaly(f"corrected result {url}: an old version was served")
        else:
            self._corrected.checked += 1

    def _call(self, method: str, path: str, **options: Any) -> requests.Response | None:
        url = self._rng.choice(self._service.producer_urls)
        try:
            return requests.request(method, url + path, timeout=(2, 12), **options)
        except requests.RequestException:
            return None
