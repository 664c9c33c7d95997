"""Dead letters, for the administrator to list, replay or purge.

A dead letter holds a reason and metadata, never pixels. Its original may still be in storage: in
quarantine (DEAD_LETTER_KEEP_INPUTS), or in the inputs of a task that has not ended.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from redis.asyncio import Redis

from schemas.contract.messages import TASK_ID_PATTERN, ImageMessage, is_own_object
from schemas.contract.names import base_name
from schemas.redis.keys import Keys
from schemas.redis.results import SubmitResult
from schemas.redis.task_store import TaskStore
from schemas.storage.layout import input_key, input_prefix, quarantine_key
from schemas.storage.storage import Storage, StorageError

_PAGE = 200
_ENTRY = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
_NAMESPACE = UUID("6f1d8a52-8f0f-4c55-9a0e-7f2f6f1c0d5b")


class ReplayError(Exception):
    """A dead letter cannot be replayed; the message is one line for the administrator."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. `fields` are those of its entry; the age is by the server's clock."""

    id: str
    age_seconds: float
    fields: dict[str, str]

    @property
    def reason(self) -> str:
        """Why the entry was dead-lettered, for programs."""
        return self.fields.get("reason", "")

    @property
    def task_id(self) -> str:
        """The task of the entry; empty if it is uncertain."""
        return self.fields.get("task_id", "")

    @property
    def originals(self) -> list[str]:
        """Storage keys where its original may be, quarantine first; none of another task."""
        sent = self.fields.get("object", "")
        keys = [self.kept] if self.kept else []
        return keys + ([sent] if is_own_object(sent, self.task_id) else [])

    @property
    def kept(self) -> str | None:
        """Storage key of its original in quarantine, if a worker would choose the same key."""
        key, entry = self.fields.get("kept"), self.fields.get("entry", "")
        named = _ENTRY.fullmatch(entry) and re.fullmatch(TASK_ID_PATTERN, self.task_id)
        return key if named and key == quarantine_key(self.task_id, entry) else None


class DeadLetters:
    """The stream of dead letters, with their originals in storage."""

    def __init__(self, redis: Redis, keys: Keys, tasks: TaskStore, storage: Storage) -> None:
        self._redis = redis
        self._keys = keys
        self._tasks = tasks
        self._storage = storage

    async def all(self) -> AsyncIterator[DeadLetter]:
        """Yield the dead letters, oldest first."""
        now_ms, start = await self._now_ms(), "-"
        while True:
            rows: Any = await self._redis.xrange(self._keys.dead_letters, start, count=_PAGE)
            for entry, fields in rows:
                yield _letter(entry, fields, now_ms)
            if len(rows) < _PAGE:
                return
            start = f"({rows[-1][0].decode()}"

    async def get(self, letter_id: str) -> DeadLetter | None:
        """Return one dead letter, or None if the id is unknown."""
        rows: Any = await self._redis.xrange(self._keys.dead_letters, letter_id, letter_id)
        if not rows:
            return None
        entry, fields = rows[0]
        return _letter(entry, fields, await self._now_ms())

    async def original(self, letter: DeadLetter) -> str | None:
        """Return the storage key of its original, or None if the original is gone."""
        for key in letter.originals:
            try:
                await self._storage.size(key)
            except FileNotFoundError:
                continue
            return key
        return None

    async def replay(self, letter: DeadLetter, *, max_backlog: int) -> str:
        """Submit its original as a new task of one image, then purge it; return the task's id.

        Safe to repeat: the same dead letter always becomes the same task.

        Raises:
            ReplayError: the original is gone, or the backlog is full.
        """
        task_id = str(uuid5(_NAMESPACE, f"{letter.id} {letter.task_id}"))
        try:
            if await self._tasks.state(task_id) is None:
                await self._submit(letter, task_id, max_backlog)
        except (ReplayError, StorageError):
            # Another process may have replayed and purged it meanwhile.
            if await self._tasks.state(task_id) is None:
                raise
        await self.purge(letter)
        return task_id

    async def purge(self, letter: DeadLetter) -> None:
        """Delete its original from quarantine, then the dead letter."""
        if letter.kept is not None:
            await self._storage.delete(letter.kept)
        await self._redis.xdel(self._keys.dead_letters, letter.id)

    async def _submit(self, letter: DeadLetter, task_id: str, max_backlog: int) -> None:
        original = await self.original(letter)
        if original is None:
            raise ReplayError("its original is gone (DEAD_LETTER_KEEP_INPUTS keeps originals)")
        # A new file, not a link: the sweeper deletes old files of unknown tasks.
        await self._storage.put(input_key(task_id, 0), self._storage.stream(original))
        message = ImageMessage(
            task_id=task_id,
            total=1,
            filename=base_name(letter.fields.get("filename", "image")),
            object=input_key(task_id, 0),
        )
        result = await self._tasks.submit(
            task_id,
            [message],
            max_backlog=max_backlog,
            replay_of=f"{letter.task_id}:{letter.fields.get('index', '0')}",
        )
        if result not in (SubmitResult.ACCEPTED, SubmitResult.EXISTS):
            await self._storage.delete_prefix(input_prefix(task_id))
            raise ReplayError("too many images are waiting (MAX_BACKLOG_IMAGES)")

    async def _now_ms(self) -> int:
        seconds, microseconds = await self._redis.time()
        return int(seconds) * 1000 + int(microseconds) // 1000


def _letter(entry: bytes, fields: dict[bytes, bytes], now_ms: int) -> DeadLetter:
    letter_id = entry.decode()
    age_seconds = max(0, now_ms - int(letter_id.partition("-")[0])) / 1000
    text = {k.decode(errors="replace"): v.decode(errors="replace") for k, v in fields.items()}
    return DeadLetter(letter_id, age_seconds, text)
