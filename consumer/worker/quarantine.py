"""Keeping the originals of dead letters, where the operator wants to be able to replay them."""

from typing import Any

import structlog
from redis.asyncio import Redis

from schemas.contract.messages import is_own_object
from schemas.contract.tasks import ImageFailure
from schemas.redis.keys import Keys
from schemas.redis.task_store import FinishAnswer, TaskStore
from schemas.storage.layout import quarantine_key
from schemas.storage.storage import Storage, StorageError

log = structlog.get_logger()

_PAGE = 200


class QuarantiningStore(TaskStore):
    """A store whose dead letters keep their originals in storage, never in the letter.

    The copy is made first: from the moment of the letter on, the original may be deleted.
    """

    def __init__(
        self, redis: Redis, keys: Keys, storage: Storage, *, task_ttl_ms: int, max_bytes: int
    ) -> None:
        super().__init__(redis, keys, task_ttl_ms=task_ttl_ms)
        self._storage = storage
        self._max_bytes = max_bytes

    async def dead_letter(
        self,
        entry: str,
        *,
        reason: str,
        task_id: str = "",
        failure: ImageFailure | None = None,
        total: int | None = None,
        metadata: dict[str, str | int] | None = None,
    ) -> FinishAnswer:
        """As the store's; raises StorageError too, and then nothing has been given up."""
        newest = await self._newest_letter()
        kept = await self._keep(entry, task_id)
        answer = await super().dead_letter(
            entry,
            reason=reason,
            task_id=task_id,
            failure=failure,
            total=total,
            metadata={**(metadata or {}), **({"kept": kept} if kept else {})},
        )
        if kept and answer is FinishAnswer.SETTLED:
            await self._drop_unless_named(kept, since=newest)
        return answer

    async def _newest_letter(self) -> str:
        rows: Any = await self._redis.xrevrange(self._keys.dead_letters, count=1)
        return rows[0][0].decode() if rows else "0-0"

    async def _drop_unless_named(self, kept: str, *, since: str) -> None:
        """Delete a copy made in vain: another worker ended the entry meanwhile.

        If it did so by a letter of its own, that letter names this very copy.
        """
        while True:
            rows: Any = await self._redis.xrange(self._keys.dead_letters, f"({since}", count=_PAGE)
            if any(fields.get(b"kept") == kept.encode() for _, fields in rows):
                return
            if len(rows) < _PAGE:
                break
            since = rows[-1][0].decode()
        try:
            await self._storage.delete(kept)
        except StorageError as error:
            # The entry is over, so nobody comes here again; the sweeper deletes it in its time.
            log.warning("kept original not deleted", error=str(error))

    async def _keep(self, entry: str, task_id: str) -> str | None:
        rows: Any = await self._redis.xrange(self._keys.images, entry, entry)
        if not rows or not task_id:
            return None  # settled by somebody else, or of no task that could own the copy
        fields: dict[bytes, bytes] = rows[0][1]
        key, image = quarantine_key(task_id, entry), fields.get(b"image")
        if image is not None:
            await self._storage.put(key, image)
            return key
        original = fields.get(b"object", b"").decode(errors="replace")
        if not is_own_object(original, task_id):
            return None
        try:
            if await self._storage.size(original) > self._max_bytes:
                return None
            await self._storage.put(key, self._storage.stream(original))
        except FileNotFoundError:
            return None
        return key
