"""What people have added to results, of all tasks, for the export of labels."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from schemas.contract.tasks import ImageResult
from schemas.redis.corrections import Covers
from schemas.redis.keys import Keys

_SCAN_PAGE = 200


@dataclass(frozen=True, slots=True)
class AddedCovers:
    """Covers that a person has added, when (epoch ms), and by which API key (see `add`)."""

    covers: Covers
    at_ms: int
    by: str


@dataclass(frozen=True, slots=True)
class CorrectedResult:
    """A result with corrections. `filename` and `sha256` are those of its original.

    `detected`: the covers of the detector, None if they were not recorded (DETECTIONS).
    """

    task_id: str
    filename: str
    sha256: str
    width: int
    height: int
    added: tuple[AddedCovers, ...]
    detected: Covers | None


async def corrected_results(
    redis: Redis, keys: Keys, *, since_ms: int = 0
) -> AsyncIterator[CorrectedResult]:
    """Yield all results with corrections that were made at or after a time."""
    prefix, cursor = keys.task("").encode(), 0
    while True:
        reply: Any = await redis.scan(cursor, count=_SCAN_PAGE)
        cursor, names = reply
        tasks = [name for name in names if name.startswith(prefix)]
        pipeline = redis.pipeline(transaction=False)
        for name in tasks:
            pipeline.hget(name, "is_corrected")
        marks = await pipeline.execute(raise_on_error=False) if tasks else []
        for name, mark in zip(tasks, marks, strict=True):
            if mark == b"1":
                fields = cast(dict[bytes, bytes], await redis.hgetall(name))
                task_id = name.removeprefix(prefix).decode(errors="replace")
                for result in _results_of(task_id, fields, since_ms):
                    yield result
        if not cursor:
            return


def _results_of(
    task_id: str, fields: dict[bytes, bytes], since_ms: int
) -> Iterator[CorrectedResult]:
    for index in range(int(fields.get(b"total", 0))):
        result = fields.get(b"result:%d" % index)
        added, size = [], (0, 0)
        for correction_id in fields.get(b"corrections:%d" % index, b"").split():
            end = orjson.loads(fields.get(b"corrected:" + correction_id, b"{}"))
            if "version" in end and end["at"] >= since_ms:
                asked = orjson.loads(fields[b"correction:" + correction_id])
                added.append(AddedCovers(asked["covers"], asked["at"], asked["by"]))
                size = end["width"], end["height"]
        if result is None or not added:
            continue
        public = ImageResult.model_validate_json(result)
        outcome = orjson.loads(fields.get(b"outcome:%d" % index, b"{}"))
        found = public.detections
        yield CorrectedResult(
            task_id, outcome.get("filename", public.filename), outcome.get("input_sha256", ""),
            *size, tuple(added), None if found is None else [each.quad for each in found],
        )  # fmt: skip
