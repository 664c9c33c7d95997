"""The queue of results that need review: read in pages, and cleaned of tasks that have expired."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from redis.asyncio import Redis

from schemas.contract.corrections import ReviewItem, ReviewPage
from schemas.contract.messages import TASK_ID_PATTERN
from schemas.redis.keys import Keys
from schemas.redis.stored_results import from_stored

MAX_EXAMINED = 1000
"""Members of the queue that one page goes through at most, whatever its filter leaves."""

_PAGE = 100
_MEMBER = re.compile(rf"({TASK_ID_PATTERN[1:-1]}):([0-9]{{1,6}})")
_CURSOR = re.compile(rf"([0-9]{{1,15}}(?:\.[0-9]{{1,6}})?)~({_MEMBER.pattern})")


class Place(NamedTuple):
    """A place in the queue: the score, and the member among those with the same score."""

    score: float
    member: bytes

    @classmethod
    def from_cursor(cls, cursor: str) -> "Place":
        """Read a cursor; raises ValueError if it is none."""
        found = _CURSOR.fullmatch(cursor)
        if found is None:
            raise ValueError("cursor: not one of this service")
        return cls(float(found[1]), found[2].encode())

    @property
    def cursor(self) -> str:
        """The place as text for clients."""
        return f"{self.score!r}~{self.text}"

    @property
    def text(self) -> str:
        """The member as text; one that others have added may be anything."""
        return self.member.decode(errors="replace")


class ReviewQueue:
    """Results that need review, by the end of their task."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def length(self) -> int:
        """Return the number of results in the queue."""
        return int(await self._redis.zcard(self._keys.reviews))

    async def page(
        self,
        *,
        limit: int,
        after: Place | None = None,
        max_age_seconds: float | None = None,
        admits: Callable[[ReviewItem], bool] = lambda _: True,
    ) -> ReviewPage:
        """Return up to `limit` items after a place; drop what it meets of tasks that are gone.

        Args:
            max_age_seconds: only of tasks that ended so long ago at most.
            admits: a further filter.
        """
        start = 0.0 if after is None else after.score
        if max_age_seconds is not None:
            seconds, _ = await self._redis.time()
            start = max(start, (int(seconds) - max_age_seconds) * 1000)
        items: list[ReviewItem] = []
        last, skip, examined = after, 0, 0
        while examined < MAX_EXAMINED:
            rows = await self._rows(start, "+inf", skip)
            skip += len(rows)
            places = [place for place in rows if last is None or place > last]
            for place, item in zip(places, await self._items(places), strict=True):
                examined += 1
                last = place
                if item is not None and admits(item):
                    items.append(item)
                if len(items) == limit or examined == MAX_EXAMINED:
                    return ReviewPage(total=await self.length(), items=items, next=last.cursor)
            if len(rows) < _PAGE:
                break
            if places:
                start, skip = places[-1].score, 0
        return ReviewPage(total=await self.length(), items=items, next=None)

    async def drop_expired(self, before_ms: float) -> int:
        """Drop the results of expired tasks that ended before a time; return how many."""
        dropped = skip = 0
        while rows := await self._rows(0, before_ms, skip):
            kept = sum(item is not None for item in await self._items(rows))
            skip += kept
            dropped += len(rows) - kept
        return dropped

    async def _rows(self, start: float, stop: float | str, skip: int) -> list[Place]:
        rows: Any = await self._redis.zrangebyscore(
            self._keys.reviews, start, stop, start=skip, num=_PAGE, withscores=True
        )
        return [Place(score, member) for member, score in rows]

    async def _items(self, places: Sequence[Place]) -> list[ReviewItem | None]:
        """Return what is at these places; drop what needs no review any more."""
        pipeline = self._redis.pipeline(transaction=False)
        for place in places:
            task_id, _, index = place.text.rpartition(":")
            pipeline.hmget(
                self._keys.task(task_id), [f"result:{index}", f"outcome:{index}", "finished_at"]
            )
        rows = await pipeline.execute(raise_on_error=False) if places else []
        items = [_item(place.text, row) for place, row in zip(places, rows, strict=True)]
        gone = [place.member for place, item in zip(places, items, strict=True) if item is None]
        if gone:
            await self._redis.zrem(self._keys.reviews, *gone)
        return items


def _item(member: str, row: Any) -> ReviewItem | None:
    """Return an item; None if its task is gone or was overwritten, or it needs no review."""
    named = _MEMBER.fullmatch(member)
    if named is None or isinstance(row, Exception) or row[0] is None:
        return None
    result = from_stored(row[0], int(named[2]))
    if not result.needs_review:
        return None
    doubt = orjson.loads(row[1] or b"{}").get("doubt", {})
    ended = datetime.fromtimestamp(int(row[2] or 0) / 1000, UTC)
    return ReviewItem(
        task_id=named[1], result=result, finished_at=ended,
        reason=doubt.get("reason"), score=doubt.get("score"),
    )  # fmt: skip
