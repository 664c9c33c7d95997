"""One webhook POST: what is sent, how it is signed, and what the response means.

Both webhooks carry `webhook-id`, the same for every attempt of a delivery. With WEBHOOK_SECRET they
also carry `webhook-timestamp` and `webhook-signature` as https://www.standardwebhooks.com says.
While secrets are rotated, there is a signature by each, separated by spaces; a receiver needs only
one. A callback signs its body. An upload signs its manifest: the task_id, then one line per image
with file name and SHA-256, joined by newlines; docs/webhooks.md shows a receiver that verifies it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from aiohttp import (
    AsyncIterablePayload,
    BytesPayload,
    ClientError,
    ClientHttpProxyError,
    ClientSession,
    ClientTimeout,
    FormData,
    Payload,
)
from pydantic import ValidationError
from standardwebhooks import Webhook
from yarl import URL

from consumer.addresses import HttpAddress, http_address
from consumer.dispatcher.schedule import parse_retry_after
from schemas import tracing
from schemas.contract.tasks import TaskState
from schemas.redis.task_store import LocatedResult
from schemas.storage.layout import output_key
from schemas.storage.storage import Storage, StorageError

CONNECT_TIMEOUT_SECONDS = 10.0


class DeliveryKind(StrEnum):
    """The two webhooks; each has its own address, concurrency and timeouts."""

    UPLOAD = "upload"
    CALLBACK = "callback"


class DeliveryState(StrEnum):
    """`due` (waiting or in flight), then one of the others for good; `dead` can be replayed."""

    DUE = "due"
    DELIVERED = "delivered"
    DEAD = "dead"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt of a webhook; no other dispatcher makes one before its lease ends.

    `payload` is the JSON of task-status at the time of the event. `token` identifies the attempt,
    `attempts` counts it too, `age_seconds` is the time since the delivery was created.
    `traceparent` is the trace context that it continues, empty without one.
    """

    id: str
    kind: DeliveryKind
    event_type: str
    task_id: str
    payload: bytes
    token: str = ""
    attempts: int = 1
    age_seconds: float = 0.0
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver. An attempt may last `total_seconds`, and wait `idle_seconds` for a response."""

    kind: DeliveryKind
    url: str
    total_seconds: float
    idle_seconds: float
    proxy: HttpAddress | None = None


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What a delivery is after an attempt. `reason` is fit for a log: no address, no content.

    `status`: of the response, if there was one.
    """

    state: DeliveryState
    reason: str
    retry_after_seconds: float | None = None
    status: int | None = None


Locate = Callable[[str, str], Awaitable[LocatedResult | None]]


@dataclass(eq=False, repr=False)
class WebhookSender:
    """POSTs deliveries to one receiver.

    Args:
        locate: returns the file in storage of a task's result; None if the task has none.
        signers: each of them signs.
        images_field: name of the form field of each image.
    """

    endpoint: Endpoint
    session: ClientSession
    storage: Storage
    locate: Locate
    signers: Sequence[Webhook]
    images_field: str = "images"

    def __post_init__(self) -> None:
        self._address = http_address(self.endpoint.url)

    async def send(self, delivery: Delivery) -> AttemptResult:
        """Attempt once; whatever the receiver or storage does, return a result in time."""
        with tracing.span(
            "POST", kind="client", parent=delivery.traceparent,
            attributes=span_attributes(delivery, self._address.url),
        ) as span:  # fmt: skip
            result = await self._attempt(delivery)
            span.set(tracing.OUTCOME, result.state)
            if result.status is not None:
                span.set("http.response.status_code", result.status)
            if result.state in (DeliveryState.DUE, DeliveryState.DEAD):
                span.fail(str(result.status or result.reason.partition(":")[0]))
        return result

    async def _attempt(self, delivery: Delivery) -> AttemptResult:
        try:
            async with asyncio.timeout(self.endpoint.total_seconds):
                return await self._send_current(delivery)
        except TimeoutError:
            return AttemptResult(DeliveryState.DUE, "timed out")
        except StorageError as error:
            return AttemptResult(DeliveryState.DUE, f"{type(error).__name__}: {error}")
        except ClientHttpProxyError as error:
            return AttemptResult(DeliveryState.DUE, f"proxy: status {error.status}")
        except (ClientError, OSError) as error:
            # Only the kind of error: its text may quote the address with its password.
            return AttemptResult(DeliveryState.DUE, type(error).__name__)

    async def _send_current(self, delivery: Delivery) -> AttemptResult:
        """Send the current version of each file.

        If one was replaced meanwhile, the attempt counts as failed: the receiver may have got the
        new version, from another webhook, before the old one.
        """
        files = await self._files(delivery)
        try:
            data, signed = await self._content(delivery, files)
        except FileNotFoundError:
            result = AttemptResult(DeliveryState.CANCELLED, "result no longer in storage")
        else:
            headers = webhook_headers(self.signers, delivery.id, signed, datetime.now(UTC))
            if traceparent := tracing.current():
                headers["traceparent"] = traceparent
            result = await self._post(data, headers)
        if result.state is DeliveryState.DUE or await self._files(delivery) == files:
            return result
        return AttemptResult(DeliveryState.DUE, "result was corrected meanwhile")

    async def _files(self, delivery: Delivery) -> list[tuple[str, str]]:
        """Return name and storage key of each file of an upload, in its current version."""
        if delivery.kind is DeliveryKind.CALLBACK:
            return []
        files = []
        for name in result_names(delivery):
            located = await self.locate(delivery.task_id, name)
            # Without its task, the file is gone as well, or soon.
            files.append((name, output_key(delivery.task_id, located.file if located else name)))
        return files

    async def _content(
        self, delivery: Delivery, files: Sequence[tuple[str, str]]
    ) -> tuple[Payload | FormData, str]:
        if delivery.kind is DeliveryKind.CALLBACK:
            body = BytesPayload(delivery.payload, content_type="application/json")
            return body, delivery.payload.decode()
        # Names as UTF-8, as browsers and curl send them; RFC 7578 forbids `filename*`.
        form = FormData({"task_id": delivery.task_id}, quote_fields=False, charset="utf-8")
        digests = []
        for name, key in files:
            file = StoredFile(self.storage.stream(key), await self.storage.size(key))
            form.add_field(self.images_field, file, filename=name, content_type="image/webp")
            if self.signers:
                digests.append((name, await self._sha256(key)))
        return form, manifest(delivery.task_id, digests)

    async def _sha256(self, key: str) -> str:
        digest = hashlib.sha256()
        async with aclosing(self.storage.stream(key)) as chunks:
            async for chunk in chunks:
                digest.update(chunk)
        return digest.hexdigest()

    async def _post(self, data: Payload | FormData, headers: dict[str, str]) -> AttemptResult:
        endpoint, proxy = self.endpoint, self.endpoint.proxy
        address = self._address
        proxy_headers: dict[str, str] = {}
        if address.authorization is not None:
            headers["Authorization"] = address.authorization
        if proxy is not None and proxy.authorization is not None:
            # Through a tunnel the request itself goes to the receiver, which must not read this.
            for_proxy = proxy_headers if address.url.scheme == "https" else headers
            for_proxy["Proxy-Authorization"] = proxy.authorization
        timeout = ClientTimeout(
            total=endpoint.total_seconds,
            sock_connect=min(CONNECT_TIMEOUT_SECONDS, endpoint.total_seconds),
            sock_read=endpoint.idle_seconds,
        )
        async with self.session.post(
            address.url, data=data, headers=headers, timeout=timeout, allow_redirects=False,
            proxy=None if proxy is None else proxy.url, proxy_headers=proxy_headers,
        ) as response:  # fmt: skip
            # The body is not read: the status is enough, and the receiver decides the body's size.
            return result_of(
                response.status, response.headers.get("Retry-After"), datetime.now(UTC)
            )


class StoredFile(AsyncIterablePayload):
    """A file that is streamed from storage to the receiver, one chunk in memory at a time.

    Its size is known beforehand: the request gets a Content-Length, which many backends need.
    """

    def __init__(self, chunks: AsyncIterable[bytes], size: int) -> None:
        super().__init__(chunks, content_type="image/webp")
        self._size = size


def result_names(delivery: Delivery) -> list[str]:
    """Return the file names of the results to send, in index order.

    Of an updated result only its own; none if the payload is unusable.
    """
    try:
        state = TaskState.model_validate_json(delivery.payload)
    except ValidationError:
        return []
    return [state.updated] if state.updated else [result.filename for result in state.results]


def span_attributes(delivery: Delivery, url: URL) -> tracing.Attributes:
    """Return what the span of an attempt says. Only the host: the rest may be a secret."""
    return {
        "http.request.method": "POST",
        "http.request.resend_count": delivery.attempts - 1,
        "server.address": url.host or "",
        "server.port": url.port or 0,
        "url.scheme": url.scheme,
        "plate.webhook": str(delivery.kind),
        tracing.TASK_ID: delivery.task_id,
    }


def manifest(task_id: str, digests: Iterable[tuple[str, str]]) -> str:
    """Return what an upload signs: the task_id, then one line `filename sha256` per image."""
    return "\n".join([task_id, *(f"{name} {digest}" for name, digest in digests)])


def webhook_headers(
    signers: Sequence[Webhook], webhook_id: str, signed: str, at: datetime
) -> dict[str, str]:
    """Return the headers of Standard Webhooks, without a signer only the id. `at` is in UTC."""
    headers = {"webhook-id": webhook_id}
    if signers:
        headers["webhook-timestamp"] = str(int(at.timestamp()))
        signatures = (signer.sign(webhook_id, at, signed) for signer in signers)
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def result_of(status: int, retry_after: str | None, now: datetime) -> AttemptResult:
    """Return what a status means: 2xx is a success, 410 is final, all else is due again."""
    reason = f"status {status}"
    if 200 <= status < 300:
        return AttemptResult(DeliveryState.DELIVERED, reason, status=status)
    if status == 410:
        return AttemptResult(DeliveryState.DEAD, reason, status=status)
    return AttemptResult(DeliveryState.DUE, reason, parse_retry_after(retry_after, now), status)
