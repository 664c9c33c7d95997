"""Messages and outcomes for the tests of the atomic steps."""

from typing import Any

from redis.asyncio import Redis

from schemas.contract.errors import ImageErrorCode
from schemas.contract.messages import ContractLimits, ImageMessage
from schemas.contract.tasks import ImageFailure, ImageResult
from schemas.redis.keys import WORKERS_GROUP, Keys

KEYS = Keys("{plates}")
TTL_MS = 60_000
LIMITS = ContractLimits(max_total=50, inline_max_bytes=1000)


def messages(task_id: str, total: int) -> list[ImageMessage]:
    return [
        ImageMessage(task_id=task_id, index=i, total=total, object=f"{task_id}/input/{i}",
                     filename=f"{i}.jpg", output=f"covered_{i}.webp")
        for i in range(total)
    ]  # fmt: skip


async def take(redis: Redis, consumer: str = "c1") -> list[tuple[str, ImageMessage]]:
    response: Any = await redis.xreadgroup(WORKERS_GROUP, consumer, {KEYS.images: ">"}, count=100)
    rows = response[0][1] if response else []
    return [(entry.decode(), ImageMessage.from_fields(fields, LIMITS)) for entry, fields in rows]


def result(message: ImageMessage) -> ImageResult:
    name = message.output_name
    return ImageResult(index=message.index, filename=name, url=f"/{name}")


def failure(message: ImageMessage) -> ImageFailure:
    return ImageFailure(
        index=message.index, filename=message.filename, code=ImageErrorCode.CORRUPT_IMAGE,
        detail='broken "quote" \\ and ü',
    )  # fmt: skip
