"""One webhook POST: what is sent, how it is signed, and what the answer means.

Both webhooks carry `webhook-id`, the same for every try of a delivery. With WEBHOOK_SECRET they
also carry `webhook-timestamp` and `webhook-signature` as https://www.standardwebhooks.com says;
while secrets are rotated, a signature of each, separated by spaces: a receiver needs only one.
A callback signs its body. An upload signs its manifest: the task_id, then one line per image with
file name and SHA-256, joined by newlines; README.md shows a receiver that verifies it.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NoReturn

from aiohttp import (
    BytesPayload,
    ClientError,
    ClientHttpProxyError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    FormData,
    Payload,
)
from aiohttp.abc import AbstractStreamWriter
from pydantic import ValidationError
from standardwebhooks import Webhook

from consumer.addresses import HttpAddress, http_address
from consumer.dispatcher.connection import open_connector
from consumer.dispatcher.retry import parse_retry_after
from schemas.contract.tasks import TaskState
from schemas.storage.layout import output_key
from schemas.storage.storage import Storage, StorageError

CONNECT_TIMEOUT_SECONDS = 10.0


class DeliveryKind(StrEnum):
    """The two webhooks; each has its own address, concurrency and timeouts."""

    UPLOAD = "upload"
    CALLBACK = "callback"


class Verdict(StrEnum):
    """What an answer means: done, try again, receiver never wants it, nothing left to send."""

    DELIVERED = "delivered"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is to be POSTed. `payload` is the JSON of task-status at the end of the task."""

    id: str
    kind: DeliveryKind
    event_type: str
    task_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver. `total_seconds` bounds a whole try, `silence_seconds` its wait for an answer."""

    url: str
    total_seconds: float
    silence_seconds: float
    proxy: HttpAddress | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How a try ended. `reason` is fit for a log: no address, no content."""

    verdict: Verdict
    reason: str
    retry_after_seconds: float | None = None


def open_session() -> ClientSession:
    """A session that sends nothing but what it is told to."""
    return ClientSession(
        connector=open_connector(),
        cookie_jar=DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers={"User-Agent": "plate-detect"},
    )


class WebhookSender:
    """POSTs deliveries, signed by each of the `signers`.

    Args:
        images_field: name of the form field of each image.
    """

    def __init__(
        self,
        session: ClientSession,
        storage: Storage,
        endpoints: Mapping[DeliveryKind, Endpoint],
        signers: Sequence[Webhook],
        *,
        images_field: str = "images",
    ) -> None:
        self._session = session
        self._storage = storage
        self._endpoints = endpoints
        self._signers = signers
        self._images_field = images_field

    async def send(self, delivery: Delivery) -> Answer:
        """Try once. Whatever the receiver or storage does, there is an answer, and in time."""
        endpoint = self._endpoints[delivery.kind]
        try:
            async with asyncio.timeout(endpoint.total_seconds):
                try:
                    data, signed = await self._content(delivery)
                except FileNotFoundError:
                    return Answer(Verdict.CANCELLED, "result no longer in storage")
                headers = webhook_headers(self._signers, delivery.id, signed, datetime.now(UTC))
                return await self._post(endpoint, data, headers)
        except TimeoutError:
            return Answer(Verdict.FAILED, "timed out")
        except StorageError as error:
            return Answer(Verdict.FAILED, f"{type(error).__name__}: {error}")
        except ClientHttpProxyError as error:
            return Answer(Verdict.FAILED, f"proxy: status {error.status}")
        except (ClientError, OSError) as error:
            # Only the kind of error: its text may quote the address with its password.
            return Answer(Verdict.FAILED, type(error).__name__)

    async def _content(self, delivery: Delivery) -> tuple[Payload | FormData, str]:
        """Body and the text to sign; raises FileNotFoundError or StorageError."""
        if delivery.kind is DeliveryKind.CALLBACK:
            body = BytesPayload(delivery.payload, content_type="application/json")
            return body, delivery.payload.decode()
        names = result_names(delivery)
        # Names as UTF-8, as browsers and curl send them; RFC 7578 forbids `filename*`.
        form = FormData({"task_id": delivery.task_id}, quote_fields=False, charset="utf-8")
        digests = []
        for name in names:
            key = output_key(delivery.task_id, name)
            file = StoredFile(self._storage, key, await self._storage.size(key))
            form.add_field(self._images_field, file, filename=name, content_type="image/webp")
            if self._signers:
                digests.append((name, await self._sha256(key)))
        return form, manifest(delivery.task_id, digests)

    async def _sha256(self, key: str) -> str:
        digest = hashlib.sha256()
        async with aclosing(self._storage.stream(key)) as chunks:
            async for chunk in chunks:
                digest.update(chunk)
        return digest.hexdigest()

    async def _post(
        self, endpoint: Endpoint, data: Payload | FormData, headers: dict[str, str]
    ) -> Answer:
        address, proxy = http_address(endpoint.url), endpoint.proxy
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
            sock_read=endpoint.silence_seconds,
        )
        async with self._session.post(
            address.url, data=data, headers=headers, timeout=timeout, allow_redirects=False,
            proxy=None if proxy is None else proxy.url, proxy_headers=proxy_headers,
        ) as response:  # fmt: skip
            # The body is left unread: the status says all, and its size is the receiver's choice.
            return answer_of(
                response.status, response.headers.get("Retry-After"), datetime.now(UTC)
            )


class StoredFile(Payload):
    """A file on its way from storage to the receiver, one chunk in memory at a time.

    Its size is known beforehand: the request gets a Content-Length, which many backends need.
    """

    def __init__(self, storage: Storage, key: str, size: int) -> None:
        super().__init__(key, content_type="image/webp")
        self._storage = storage
        self._key = key
        self._size = size

    def decode(self, encoding: str = "", errors: str = "") -> NoReturn:  # noqa: ARG002 - inherited
        """Not offered: it would hold the whole file."""
        raise TypeError("a stored file is only streamed")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the file."""
        async with aclosing(self._storage.stream(self._key)) as chunks:
            async for chunk in chunks:
                await writer.write(chunk)


def result_names(delivery: Delivery) -> list[str]:
    """File names of what a delivery tells of, in index order; none if its payload is unusable."""
    try:
        state = TaskState.model_validate_json(delivery.payload)
    except ValidationError:
        return []
    return [result.filename for result in state.results]


def manifest(task_id: str, digests: Iterable[tuple[str, str]]) -> str:
    """What an upload signs: the task_id, then one line `filename sha256` per image."""
    return "\n".join([task_id, *(f"{name} {digest}" for name, digest in digests)])


def webhook_headers(
    signers: Sequence[Webhook], webhook_id: str, signed: str, at: datetime
) -> dict[str, str]:
    """Headers of Standard Webhooks; without a signer only the id. `at` is in UTC."""
    headers = {"webhook-id": webhook_id}
    if signers:
        headers["webhook-timestamp"] = str(int(at.timestamp()))
        signatures = (signer.sign(webhook_id, at, signed) for signer in signers)
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def answer_of(status: int, retry_after: str | None, now: datetime) -> Answer:
    """What a status means: only 2xx is a success, 410 is final, all else is tried again."""
    reason = f"status {status}"
    if 200 <= status < 300:
        return Answer(Verdict.DELIVERED, reason)
    if status == 410:
        return Answer(Verdict.REFUSED, reason)
    return Answer(Verdict.FAILED, reason, parse_retry_after(retry_after, now))
