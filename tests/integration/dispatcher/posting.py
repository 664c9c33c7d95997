"""One delivery to whatever listens: the sender by itself, with files in a real folder."""

import json
import ssl
from pathlib import Path

from standardwebhooks import Webhook

from consumer.addresses import HttpAddress
from consumer.dispatcher.connections import open_session
from consumer.dispatcher.webhook import (
    AttemptResult,
    Delivery,
    DeliveryKind,
    Endpoint,
    WebhookSender,
)
from schemas.redis.task_store import LocatedResult
from schemas.storage.layout import output_key
from schemas.storage.storage import Storage

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FOREIGN_SECRET = "whsec_c29tZWJvZHkncw=="
TASK_ID = "t1"
FILES = {"covered_0.webp": b"RIFF"}


def state_of(names: list[str], task_id: str = TASK_ID) -> bytes:
    """The JSON of a completed task."""
    state = {
        "task_id": task_id, "status": "completed", "errors": [],
        "results": [{"filename": name, "url": "/x"} for name in names],
        "progress": {"done": len(names), "total": len(names)},
    }  # fmt: skip
    return json.dumps(state, ensure_ascii=False).encode()


async def uncorrected(_: str, name: str) -> LocatedResult:
    """Locate a result as the worker made it."""
    return LocatedResult(name, 0)


async def post(
    url: str,
    folder: Path,
    files: dict[str, bytes] = FILES,
    *,
    kind: DeliveryKind = DeliveryKind.UPLOAD,
    proxy: HttpAddress | None = None,
    images_field: str = "images",
    tls: ssl.SSLContext | bool = True,
    secret: str | None = SECRET,
    task_id: str = TASK_ID,
) -> AttemptResult:
    """Send the files of one task, or its callback, signed."""
    storage = Storage.open(folder.as_uri())
    for name, data in files.items() if kind is DeliveryKind.UPLOAD else ():
        await storage.put(output_key(task_id, name), data)
    endpoint = Endpoint(kind, url, total_seconds=20, idle_seconds=10, proxy=proxy)
    delivery = Delivery(
        f"evt_{task_id}_{kind}", kind, "task.completed", task_id, state_of(list(files), task_id)
    )
    async with open_session(tls=tls) as session:
        signers = [] if secret is None else [Webhook(secret)]
        sender = WebhookSender(
            endpoint, session, storage, uncorrected, signers, images_field=images_field
        )
        return await sender.send(delivery)
