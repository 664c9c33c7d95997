"""What must hold after a run. Each violation becomes one line."""

import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import requests
from PIL import Image
from redis import Redis

from consumer.vision.cover.cover import FILL
from schemas.contract.tasks import MODEL_DIGITS
from tests.stress.chaos.corrections import CorrectedResults, is_covered
from tests.stress.chaos.service import ChaosService
from tests.stress.chaos.submissions import Submissions, SubmittedTask, sha256

PREFIX = "{plates}:"
LASTING = {f"{PREFIX}{name}" for name in ("images", "corrections", "events", "dead-letters")}
GROUPS = {"images": "workers", "corrections": "workers", "events": "dispatcher"}
_COVERED_WITHIN = 6
_SAMPLE = 40


def is_quiet(redis: Redis) -> bool:
    """Whether nothing is left to do: no entry, no open task or correction, no event, no webhook."""
    names = ("open-tasks", "due-deliveries:upload", "due-deliveries:callback")
    if any(redis.zcard(PREFIX + name) for name in names) or redis.xlen(f"{PREFIX}images"):
        return False
    groups: Any = [redis.xinfo_groups(PREFIX + stream) for stream in GROUPS]
    if any(group["pending"] for found in groups for group in found):
        return False
    if redis.xlen(f"{PREFIX}corrections") or not _all_events_are_read(redis):
        return False
    return not _waiting_corrections(redis)


def _all_events_are_read(redis: Redis) -> bool:
    """Compare ids: `lag` is a count, which may be wrong after a kill of the server."""
    stream: Any = redis.xinfo_stream(f"{PREFIX}events")
    groups: Any = redis.xinfo_groups(f"{PREFIX}events")
    return all(group["last-delivered-id"] == stream["last-generated-id"] for group in groups)


def _waiting_corrections(redis: Redis) -> bool:
    for key in redis.scan_iter(f"{PREFIX}task:*", count=1000):
        row: Any = redis.hgetall(key)
        for name in row:
            what, _, correction = name.partition(b":")
            if what == b"correction" and b"corrected:" + correction not in row:
                return True
    return False


class Observations:
    """What HTTP, the receiver, storage and Redis show after a run, read once."""

    def __init__(
        self,
        service: ChaosService,
        submissions: Submissions,
        corrected: CorrectedResults,
        redis: Redis,
    ) -> None:
        self.service = service
        self.corrected = corrected
        self.submissions = submissions
        self.tasks = {
            key.decode().removeprefix(f"{PREFIX}task:"): redis.hgetall(key)
            for key in redis.scan_iter(f"{PREFIX}task:*", count=1000)
        }
        self.events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.updates: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self.event_ids: Counter[bytes] = Counter()
        rows: Any = redis.xrange(f"{PREFIX}events")
        for _, fields in rows:
            task_id = fields[b"task_id"].decode()
            self.event_ids[fields[b"event_id"]] += 1
            if fields[b"type"] == b"result.updated":
                update = fields[b"filename"].decode(), int(fields[b"version"])
                self.updates[task_id].append(update)
            else:
                self.events[task_id].append(json.loads(fields[b"payload"]))
        letters: Any = redis.xrange(f"{PREFIX}dead-letters")
        self.letters = [fields for _, fields in letters]

    def violations(self) -> list[str]:
        """Return all violations: of tasks, events, dead letters and webhooks."""
        found = [*self.submissions.anomalies, *self.service.unexpected_exits]
        unknown = set(self.tasks) - set(self.submissions.accepted)
        found += [f"task {task_id} that no client has submitted" for task_id in sorted(unknown)]
        with requests.Session() as session:
            for task in self.submissions.accepted.values():
                found += self._of_task(task, session)
        found += self._of_corrections()
        found += self._of_dead_letters()
        found += self._of_samples()
        return found

    def models(self) -> dict[str, set[str]]:
        """Return the models that the results of each task name."""
        return {
            task_id: {
                json.loads(value)["model"]
                for name, value in row.items()
                if name.startswith(b"result:")
            }
            for task_id, row in self.tasks.items()
        }

    def lost(self) -> list[str]:
        """Return the ids of accepted tasks that are unknown or have not ended."""
        return [task_id for task_id in self.submissions.accepted if not self._has_ended(task_id)]

    def _has_ended(self, task_id: str) -> bool:
        return self.tasks.get(task_id, {}).get(b"status") in (b"completed", b"failed")

    def _of_task(self, task: SubmittedTask, session: requests.Session) -> Iterator[str]:
        task_id = task.task_id
        if not self._has_ended(task_id):
            yield f"task {task_id} ({task.way}) is lost or has not ended"
            return
        events = self.events[task_id]
        if len(events) != 1:
            yield f"task {task_id} has {len(events)} completion events"
            return
        url = f"{self.service.producer_urls[0]}/api/v1/task-status/{task_id}"
        status = without_versions(session.get(url, timeout=10).json())
        if status != events[0]:
            yield f"task {task_id}: its event and its status differ"
        yield from self._of_images(task, status)
        yield from self._of_webhooks(task_id, status)

    def _of_images(self, task: SubmittedTask, status: dict[str, Any]) -> Iterator[str]:
        task_id, row = task.task_id, self.tasks[task.task_id]
        failed = {error["index"]: error["code"] for error in status["errors"]}
        if failed != dict.fromkeys(task.poisoned, "too_many_deliveries"):
            yield f"task {task_id}: failed images {failed}, poison {sorted(task.poisoned)}"
        for index in set(range(len(task.digests))) - task.poisoned - set(failed):
            outcome = json.loads(row[b"outcome:%d" % index])
            result = json.loads(row[b"result:%d" % index])
            file, digest = current_file(row, index, result)
            path = self.service.storage / task_id / "output" / file
            if result.get("model") != outcome["model"][:MODEL_DIGITS]:
                yield f"task {task_id} image {index}: another model's name {result.get('model')}"
            if outcome["input_sha256"] != task.digests[index]:
                yield f"task {task_id} image {index}: another image's result"
            if not path.is_file():
                yield f"task {task_id} image {index}: its result is missing"
            elif sha256(path.read_bytes()) != (digest or outcome["output_sha256"]):
                yield f"task {task_id} image {index}: its result is another file"

    def _of_webhooks(self, task_id: str, status: dict[str, Any]) -> Iterator[str]:
        callbacks = [
            (webhook_id, body)
            for webhook_id, body in self._callbacks().get(task_id, [])
            if webhook_id.startswith("evt_")
        ]
        if len({webhook_id for webhook_id, _ in callbacks}) != 1:
            yield f"task {task_id}: callbacks {[webhook_id for webhook_id, _ in callbacks]}"
        if any(body != status for _, body in callbacks):
            yield f"task {task_id}: a callback differs from its status"
        uploads = [
            upload
            for upload in self._uploads().get(task_id, [])
            if upload.webhook_id.startswith("evt_")
        ]
        expected = 1 if status["status"] == "completed" else 0
        if len({upload.webhook_id for upload in uploads}) != expected:
            yield f"task {task_id} {status['status']}: {len(uploads)} uploads"
        names = {result["filename"] for result in status["results"]}
        if any(set(upload.images) != names for upload in uploads):
            yield f"task {task_id}: an upload with other images than its results"

    def _of_corrections(self) -> Iterator[str]:
        """Every accepted correction is in its result, and each version has one event."""
        for task_id, row in self.tasks.items():
            for name in [name for name in row if name.startswith(b"result:")]:
                result, index = json.loads(row[name]), int(name.split(b":")[1])
                yield from self._of_corrected(task_id, row, index, result)
        for event_id, count in self.event_ids.items():
            if event_id.startswith(b"upd_") and count != 1:
                yield f"event {event_id.decode()}: published {count} times"

    def _of_corrected(
        self, task_id: str, row: Any, index: int, result: dict[str, Any]
    ) -> Iterator[str]:
        name, version = result["filename"], result.get("version", 0)
        what = f"result {task_id}/{name}"
        accepted = self.corrected.accepted.get((task_id, name), 0)
        if version != accepted:
            yield f"{what}: {accepted} corrections accepted, and its version is {version}"
        file, _ = current_file(row, index, result)
        path = self.service.storage / task_id / "output" / file
        webp = path.read_bytes() if path.is_file() else b""
        missing = [cell for cell in range(accepted) if not (webp and is_covered(webp, cell))]
        if missing:
            yield f"{what}: the covers {missing} are not in it"
        versions = [number for of, number in self.updates.get(task_id, []) if of == name]
        if versions != sorted(set(versions)) or max(versions, default=0) != version:
            yield f"{what}: events of versions {versions}, and its version is {version}"
        wanted = {f"upd_{task_id}_{index}_{number}" for number in versions}
        sent = {
            "callback": {one for one, _ in self._callbacks().get(task_id, [])},
            "upload": {upload.webhook_id for upload in self._uploads().get(task_id, [])},
        }
        for kind, ids in sent.items():
            received = {one for one in ids if one.startswith(f"upd_{task_id}_{index}_")}
            if received != {f"{event}_{kind}" for event in wanted}:
                yield f"{what}: {kind} webhooks {sorted(received)}, wanted of {sorted(wanted)}"

    def _of_dead_letters(self) -> Iterator[str]:
        expected = Counter(
            (task.task_id, "too_many_deliveries")
            for task in self.submissions.accepted.values()
            for _ in task.poisoned
        )
        found = Counter((fields[b"task_id"].decode(), fields[b"reason"].decode())
                        for fields in self.letters)  # fmt: skip
        if found != expected:
            yield f"dead letters: {found - expected} too many, {expected - found} missing"

    def _of_samples(self) -> Iterator[str]:
        """The stand-in covers the left half: a result with other colours there was not covered."""
        for path in sorted(self.service.storage.glob("*/output/*"))[:_SAMPLE]:
            pixels = np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"), np.int16)
            left = pixels[:, : pixels.shape[1] // 2 - 8]
            if np.abs(left - np.array(FILL)).max() > _COVERED_WITHIN:
                yield f"result {path.name} is not covered"

    def _callbacks(self) -> dict[str, list[tuple[str, dict[str, Any]]]]:
        if not hasattr(self, "_callback_index"):
            self._callback_index = defaultdict(list)
            for webhook_id, body in self.service.receiver.callbacks:
                self._callback_index[str(body["task_id"])].append((webhook_id, body))
        return self._callback_index

    def _uploads(self) -> dict[str, list[Any]]:
        if not hasattr(self, "_upload_index"):
            self._upload_index: dict[str, list[Any]] = defaultdict(list)
            for upload in self.service.receiver.uploads:
                self._upload_index[upload.task_id].append(upload)
        return self._upload_index


def current_file(row: Any, index: int, result: dict[str, Any]) -> tuple[str, str]:
    """Return the file of a result's current version, and its SHA-256 if it was corrected."""
    version = row.get(b"version:%d" % index)
    if version is None:
        return str(result["filename"]), ""
    _, file, digest = version.decode().split()
    return file, digest


def without_versions(status: dict[str, Any]) -> dict[str, Any]:
    """Return a state of a task as it was when the task ended."""
    for result in status["results"]:
        result.pop("version", None)
    return status


def leftovers(service: ChaosService, redis: Redis) -> list[str]:
    """Return keys, files and consumer names that should have been removed."""
    return [*_left_keys(redis), *_left_consumers(service, redis), *_left_files(service, redis)]


def _left_keys(redis: Redis) -> Iterator[str]:
    for key in redis.scan_iter(count=1000):
        if key.decode() not in LASTING and redis.ttl(key) < 0:
            yield f"key without a TTL {key.decode()}"
    for key in redis.scan_iter(f"{PREFIX}idempotency:*", count=1000):
        if not redis.hexists(key, "task_id"):
            yield f"idempotency key of no task {key.decode()}"


def _left_consumers(service: ChaosService, redis: Redis) -> Iterator[str]:
    living = {str(member.process.pid) for member in service.members}
    for stream, group in GROUPS.items():
        consumers: Any = redis.xinfo_consumers(PREFIX + stream, group)
        for consumer in consumers:
            name = consumer["name"].decode()
            if name.rsplit("-", 2)[-2:][0] not in living:  # the sweeper's has no process
                yield f"consumer {name} of {group}"


def _left_files(service: ChaosService, redis: Redis) -> Iterator[str]:
    wanted = set()
    for key in redis.scan_iter(f"{PREFIX}task:*", count=1000):
        row: Any = redis.hgetall(key)
        task_id = key.decode().removeprefix(f"{PREFIX}task:")
        for name, value in row.items():
            if name.startswith(b"result:"):
                file, _ = current_file(row, int(name.split(b":")[1]), json.loads(value))
                wanted.add(f"{task_id}/output/{file}")
    for path in service.storage.rglob("*"):
        name = str(path.relative_to(service.storage))
        if path.is_file() and name not in wanted:
            yield f"file {name}"
