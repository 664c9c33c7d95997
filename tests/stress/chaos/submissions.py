"""The tasks that the service has accepted, image by image."""

import hashlib
import threading
from dataclasses import dataclass, field

import numpy as np

from tests.support.pictures import encoded


def picture(number: int) -> bytes:
    """Return a small image, different for each number, as JPEG, PNG or WebP."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    pixels = coarse.repeat(16, axis=0).repeat(16, axis=1)
    return encoded(pixels, ("JPEG", "PNG", "WEBP")[number % 3])


def sha256(data: bytes) -> str:
    """Return the digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@dataclass
class SubmittedTask:
    """An accepted task: digests of its images in order, and which of them are poison."""

    task_id: str
    way: str
    digests: list[str]
    poisoned: set[int]


@dataclass
class Submissions:
    """Accepted tasks, and poison images still to send; written by the clients' threads."""

    poisons: list[bytes]
    accepted: dict[str, SubmittedTask] = field(default_factory=dict)
    images: int = 0
    repeated_requests: int = 0
    repeated_entries: int = 0
    anomalies: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next_picture: int = 0
    _poisons_wanted: int = 0

    def new_images(self, count: int) -> list[bytes]:
        """Return images for a task; one of them is poison if `want_poison` was called."""
        with self._lock:
            first, self._next_picture = self._next_picture, self._next_picture + count
            poison = None
            if self._poisons_wanted and self.poisons:
                self._poisons_wanted -= 1
                poison = self.poisons.pop()
        images = [picture(number) for number in range(first, first + count)]
        if poison is not None:
            images[first % count] = poison
        return images

    def want_poison(self) -> bool:
        """Have the next task carry a poison image; False if all are used up."""
        with self._lock:
            if self._poisons_wanted >= len(self.poisons):
                return False
            self._poisons_wanted += 1
            return True

    def keep(self, task_id: str, way: str, images: list[bytes], poison: set[str]) -> None:
        """Remember an accepted task; `poison`: digests of all poison images there are."""
        digests = [sha256(image) for image in images]
        poisoned = {index for index, digest in enumerate(digests) if digest in poison}
        with self._lock:
            if task_id in self.accepted:
                self.anomalies.append(f"task id {task_id} was given to two requests")
            self.accepted[task_id] = SubmittedTask(task_id, way, digests, poisoned)
            self.images += len(images)

    def repeated(self, *, requests: int = 0, entries: int = 0) -> None:
        """Count what a client had to send, or sent on purpose, more than once."""
        with self._lock:
            self.repeated_requests += requests
            self.repeated_entries += entries

    def note_anomaly(self, what: str) -> None:
        """Note a response that no client should get."""
        with self._lock:
            self.anomalies.append(what)
